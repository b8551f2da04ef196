/* An extension module in C that uses the C API of the chandra-bin that is installed when it runs. It links to nothing. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "chandra_bin/c_api.h"

static const ChandraBinAPI* api;

/* Ctrl-C stops the function; kernels run without the GIL, so it is taken here. */
static int poll(void* data, double fraction) {
    (void)fraction;
    int* with_gil = (int*)data;
    if (PyGILState_Check()) *with_gil = 1;
    const PyGILState_STATE state = PyGILState_Ensure();
    const int go_on = PyErr_CheckSignals() == 0;
    PyGILState_Release(state);
    return go_on;
}

/* Runs with the GIL released; 0, or -1 with an exception set. */
static int bin_image(const ChandraBinImages* images, double counts, float* smoothed, int32_t* binmap, size_t* bins) {
    char message[200] = "";
    int status, with_gil = 0;
    const ChandraBinControl control = {poll, &with_gil};
    const ChandraBinOptions options = {.target = CHANDRA_BIN_COUNTS, .threshold = counts, .scrub = 1};
    Py_BEGIN_ALLOW_THREADS
    status = api->smooth(images, 5, 1, &control, smoothed, message, sizeof message);
    if (status == CHANDRA_BIN_OK) {
        status = api->contour_bin(images, smoothed, &options, 1, &control, binmap, bins, message, sizeof message);
    }
    Py_END_ALLOW_THREADS
    if (status == CHANDRA_BIN_OK && !with_gil) return 0;
    if (with_gil) PyErr_SetString(PyExc_SystemError, "the GIL was held");
    if (!PyErr_Occurred()) {
        PyErr_SetString(status == CHANDRA_BIN_INVALID ? PyExc_ValueError : PyExc_RuntimeError, message);
    }
    return -1;
}

/* The buffer of an image (ny, nx) in C order of one type; 0, or -1 with an exception set and nothing to release. */
static int take(PyObject* object, const char* format, int flags, Py_buffer* image) {
    if (PyObject_GetBuffer(object, image, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) != 0) return -1;
    if (image->ndim == 2 && strcmp(image->format, format) == 0) return 0;
    PyErr_SetString(PyExc_ValueError, "images must be (ny, nx): counts float32, use uint8, binmap int32");
    PyBuffer_Release(image);
    return -1;
}

static int same_shape(const Py_buffer* one, const Py_buffer* other) {
    return one->shape[0] == other->shape[0] && one->shape[1] == other->shape[1];
}

/* Fills binmap; returns the number of bins, or NULL. */
static PyObject* fill(const Py_buffer* image, const Py_buffer* use, const Py_buffer* binmap, double counts) {
    size_t bins = 0;
    if (!same_shape(image, use) || !same_shape(image, binmap)) {
        PyErr_SetString(PyExc_ValueError, "counts, use and binmap differ in shape");
        return NULL;
    }
    float* smoothed = (float*)PyMem_Malloc((size_t)image->len);
    if (smoothed == NULL) return PyErr_NoMemory();
    const ChandraBinImages images = {.ny = (size_t)image->shape[0], .nx = (size_t)image->shape[1],
                                     .counts = (const float*)image->buf, .constant_ratio = 1,
                                     .use = (const uint8_t*)use->buf};
    const int failed = bin_image(&images, counts, smoothed, (int32_t*)binmap->buf, &bins);
    PyMem_Free(smoothed);
    return failed ? NULL : PyLong_FromSize_t(bins);
}

/* bin_counts(image, use, binmap, counts): bins of at least so many counts. Fills binmap, returns their number. */
static PyObject* bin_counts(PyObject* module, PyObject* args) {
    PyObject *image_object, *use_object, *binmap_object, *result = NULL;
    Py_buffer image, use, binmap;
    double counts;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOd", &image_object, &use_object, &binmap_object, &counts)) return NULL;
    if (take(image_object, "f", 0, &image) != 0) return NULL;
    if (take(use_object, "B", 0, &use) == 0) {
        if (take(binmap_object, "i", PyBUF_WRITABLE, &binmap) == 0) {
            result = fill(&image, &use, &binmap, counts);
            PyBuffer_Release(&binmap);
        }
        PyBuffer_Release(&use);
    }
    PyBuffer_Release(&image);
    return result;
}

static PyMethodDef methods[] = {{"bin_counts", bin_counts, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "bin_counts", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_bin_counts(void) {
    api = chandra_bin_import_api();
    return api == NULL ? NULL : PyModule_Create(&definition);
}
