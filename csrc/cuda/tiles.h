// How the pixels of the output are cut into tiles, one of which a block works on at a time.
//
// Tiles are two-dimensional: neighbouring pixels sample neighbouring features, which then come from
// the L1 cache.
#pragma once

#include "../arguments.h"

namespace rfwarp::cuda {

struct Pixel {
  int64_t n;
  unsigned y, x;  // unsigned: beyond the image at its far end must not overflow
  bool inside;
};

struct Tile {
  int64_t n;
  unsigned y, x;
};

struct Tiles {
  int width_log2, height_log2;
  int64_t across, down;
  int64_t count;  // across * down * N

  Tiles(const Arguments& args, int width_log2, int height_log2)
      : width_log2(width_log2),
        height_log2(height_log2),
        across((int64_t{args.W} + (1 << width_log2) - 1) >> width_log2),
        down((int64_t{args.H} + (1 << height_log2) - 1) >> height_log2),
        count(across * down * args.N) {}

  RFWARP_HOST_DEVICE int pixels_log2() const { return width_log2 + height_log2; }
  RFWARP_HOST_DEVICE int pixels() const { return 1 << pixels_log2(); }

  RFWARP_HOST_DEVICE Tile tile(int64_t index) const {
    const int64_t row = index / across;
    Tile tile;
    tile.n = row / down;
    tile.y = static_cast<unsigned>((row - tile.n * down) << height_log2);
    tile.x = static_cast<unsigned>((index - row * across) << width_log2);
    return tile;
  }

  // The p-th of a tile, row by row.
  RFWARP_HOST_DEVICE Pixel pixel(const Arguments& args, const Tile& tile, int p) const {
    Pixel pixel;
    pixel.n = tile.n;
    pixel.y = tile.y + (static_cast<unsigned>(p) >> width_log2);
    pixel.x = tile.x + (static_cast<unsigned>(p) & ((1u << width_log2) - 1));
    pixel.inside =
        pixel.y < static_cast<unsigned>(args.H) && pixel.x < static_cast<unsigned>(args.W);
    return pixel;
  }
};

RFWARP_HOST_DEVICE int64_t offset(const View& view, const Pixel& pixel) {
  return pixel.n * view.n + int64_t{pixel.y} * view.y + int64_t{pixel.x} * view.x;
}

}  // namespace rfwarp::cuda
