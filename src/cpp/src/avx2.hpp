// Whether code may be compiled for AVX2 besides; processors are asked when it runs. Private to src/cpp/src.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
#define CHANDRA_BIN_AVX2
#endif
