# What find_package(chandra_bin) reads, wherever it is installed.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/chandra_bin-targets.cmake)
