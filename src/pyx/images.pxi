# Conversion of the images of a smoothing or binning run to C++; included where `Images` is cimported.


cdef const float* pointer(const float[:, ::1] image, const float[:, ::1] counts) except? NULL:
    if image is None or counts.size == 0:
        return NULL
    check_shape(counts.shape[0], counts.shape[1], image.shape[0], image.shape[1])
    return &image[0, 0]


cdef Images make_images(const float[:, ::1] counts, const float[:, ::1] background, const float[:, ::1] ratio,
                        double constant_ratio, const float[:, ::1] noise, const uint8_t[:, ::1] use) except *:
    cdef Images images
    check_shape(counts.shape[0], counts.shape[1], use.shape[0], use.shape[1])
    images.ny = counts.shape[0]
    images.nx = counts.shape[1]
    images.counts = pointer(counts, counts)
    images.background = pointer(background, counts)
    images.ratio = pointer(ratio, counts)
    images.constant_ratio = constant_ratio
    images.noise = pointer(noise, counts)
    images.use = &use[0, 0] if counts.size else NULL
    return images
