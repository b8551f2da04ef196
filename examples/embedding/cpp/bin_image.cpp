// Bins an image from C++: reads ny * nx float32 counts from standard input, writes the binmap (int32) to standard output.
//
//     cmake -S . -B build -Dchandra_bin_DIR=$(python -c "import chandra_bin; print(chandra_bin.get_cmake_dir())")
//     cmake --build build
//     build/bin_image 256 256 30 < counts.raw > binmap.raw
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "chandra_bin/contour_bin.hpp"
#include "chandra_bin/polygon_trace.hpp"
#include "chandra_bin/smooth.hpp"

int main(int argc, char** argv) try {
    if (argc != 4) throw std::invalid_argument("usage: bin_image NY NX SN");
    const std::size_t ny = std::stoul(argv[1]), nx = std::stoul(argv[2]);
    const double sn = std::stod(argv[3]);
    const int threads = 2;

    std::vector<float> counts(ny * nx), smoothed(ny * nx);
    std::cin.read(reinterpret_cast<char*>(counts.data()), std::streamsize(counts.size() * sizeof(float)));
    if (!std::cin) throw std::invalid_argument("standard input holds too few pixels");
    const std::vector<std::uint8_t> use(ny * nx, 1);
    const chandra_bin::Images images{.ny = ny, .nx = nx, .counts = counts.data(), .use = use.data()};

    chandra_bin::smooth(images, sn, threads, chandra_bin::Control{}, smoothed.data());
    std::vector<std::int32_t> binmap(ny * nx);
    const auto bins = chandra_bin::contour_bin(images, smoothed.data(), {.threshold = sn, .constrain = 3}, threads,
                                               chandra_bin::Control{}, binmap.data());
    const auto outlines = chandra_bin::polygon_trace(binmap.data(), ny, nx);

    std::cout.write(reinterpret_cast<const char*>(binmap.data()), std::streamsize(binmap.size() * sizeof(std::int32_t)));
    std::cerr << bins.sums.size() << " bins, " << outlines.labels.size() << " polygons\n";
} catch (const std::exception& error) {
    std::cerr << "bin_image: " << error.what() << "\n";
    return 2;
}
