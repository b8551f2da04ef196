/* The C API: smoothing, binning and outlines on plain buffers, for C and for extension modules without linking.
 *
 * An extension module includes Python.h first and gets the table from the installed package, once, with the GIL:
 *     const ChandraBinAPI* api = chandra_bin_import_api();   // NULL: ImportError is set
 * A program that links to the static library gets it from chandra_bin_api().
 *
 * Functions need no GIL, call no Python code and keep no state. They may run in any number of threads at once on
 * different outputs. They return CHANDRA_BIN_OK, or an error code and a sentence in `message` (at most `size` bytes,
 * truncated if longer; may be NULL with size 0); outputs are then undefined. Images are (ny, nx), float32 in C order,
 * and finite.
 *
 * Version n + 1 only adds members at the end of ChandraBinAPI. An incompatible change would use another capsule name.
 */
#ifndef CHANDRA_BIN_C_API_H
#define CHANDRA_BIN_C_API_H

#include <stddef.h>
#include <stdint.h>

#define CHANDRA_BIN_API_VERSION 1
#define CHANDRA_BIN_CAPSULE "chandra_bin._C_API"

#ifdef __cplusplus
extern "C" {
#endif

enum { CHANDRA_BIN_OK = 0, CHANDRA_BIN_INVALID = 1, CHANDRA_BIN_CANCELLED = 2, CHANDRA_BIN_FAILED = 3 };
enum { CHANDRA_BIN_SN = 0, CHANDRA_BIN_COUNTS = 1 };

/* As chandra_bin::Images (smooth.hpp). `counts` and `use` are required; the others may be NULL. */
typedef struct ChandraBinImages {
    size_t ny;
    size_t nx;
    const float* counts;
    const float* background;
    const float* ratio; /* exposure / background exposure; NULL: constant_ratio everywhere */
    double constant_ratio;
    const float* noise; /* 1 sigma; NULL: Poisson noise */
    const uint8_t* use; /* 0: excluded; 1: used; 2: used, may start a bin but never join one */
} ChandraBinImages;

/* As chandra_bin::BinningOptions (contour_bin.hpp). */
typedef struct ChandraBinOptions {
    int target;         /* CHANDRA_BIN_SN or CHANDRA_BIN_COUNTS */
    double threshold;   /* S/N or net counts that a bin must reach */
    double constrain;   /* geometric constraint; 0: none */
    int bin_up;         /* start from the faintest pixels */
    int scrub;          /* dissolve bins below the threshold, then renumber */
    double scrub_large; /* remove bins with at least this fraction of all binned pixels; 0: none */
} ChandraBinOptions;

/* `poll` is called in the calling thread, many times a second, with the fraction done. A result of 0 stops the function,
 * which returns CHANDRA_BIN_CANCELLED. `poll` must not throw. A NULL control, or a NULL poll, is never called. */
typedef struct ChandraBinControl {
    int (*poll)(void* data, double fraction);
    void* data;
} ChandraBinControl;

/* As chandra_bin::Polygons (polygon_trace.hpp), flat. */
typedef struct ChandraBinPolygons {
    size_t points, rings, polygons;
    const double* xy;               /* 2 * points: x, y in array coordinates, pixel centres at whole numbers */
    const int64_t* ring_offsets;    /* rings + 1 */
    const int64_t* polygon_offsets; /* polygons + 1 */
    const int32_t* labels;          /* polygons: the bin of each */
    void* owner;                    /* for polygons_free */
} ChandraBinPolygons;

typedef struct ChandraBinAPI {
    uint32_t version; /* of the running package, at least the version that the caller was compiled with */

    /* Fills `smoothed` (ny, nx); see smooth.hpp. */
    int (*smooth)(const ChandraBinImages* images, double sn, int threads, const ChandraBinControl* control,
                  float* smoothed, char* message, size_t size);

    /* Fills `binmap` (ny, nx) with bin numbers from 0, -1 outside, and `bins` with their number; see contour_bin.hpp. */
    int (*contour_bin)(const ChandraBinImages* images, const float* smoothed, const ChandraBinOptions* options,
                       int threads, const ChandraBinControl* control, int32_t* binmap, size_t* bins, char* message,
                       size_t size);

    /* Fills `polygons` with the outlines of all labels (ny, nx) >= 0; see polygon_trace.hpp. Free it with polygons_free. */
    int (*polygon_trace)(const int32_t* labels, size_t ny, size_t nx, ChandraBinPolygons* polygons, char* message,
                         size_t size);

    /* Frees the memory of polygon_trace and clears `polygons`; does nothing if it is already clear. */
    void (*polygons_free)(ChandraBinPolygons* polygons);
} ChandraBinAPI;

/* The table of the static library, which stays valid. */
const ChandraBinAPI* chandra_bin_api(void);

#ifdef __cplusplus
}
#endif

#ifdef Py_PYTHON_H
/* The table of the installed package; NULL with ImportError if it is missing or older than this header. */
static inline const ChandraBinAPI* chandra_bin_import_api(void) {
    const ChandraBinAPI* api = (const ChandraBinAPI*)PyCapsule_Import(CHANDRA_BIN_CAPSULE, 0);
    if (api == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_ImportError)) {
            PyErr_SetString(PyExc_ImportError, "the installed chandra_bin has no C API");
        }
        return NULL;
    }
    if (api->version < CHANDRA_BIN_API_VERSION) {
        PyErr_Format(PyExc_ImportError, "the C API of the installed chandra_bin has version %u, but %d is needed",
                     (unsigned)api->version, CHANDRA_BIN_API_VERSION);
        return NULL;
    }
    return api;
}
#endif

#endif
