// How much work a block gets. Not yet measured: chosen from counts of bytes and registers.
#pragma once

#include "tiles.h"

namespace rfwarp::cuda {

// Tiles are given as powers of two. `few` is for outputs that would leave multiprocessors idle.
struct TileShape {
  int width_log2, height_log2;
};
struct ShapeRow {
  int groups;  // of channels, at least
  TileShape many, few;
};

// Lanes are channels: a tile needs only so many pixels that every thread finds work.
constexpr ShapeRow kForwardPacked[] = {
    {16, {3, 2}, {2, 1}},
    {4, {4, 2}, {3, 2}},
    {1, {4, 4}, {4, 3}},
};
// Lanes are pixels: rows of 32 are 128 bytes of float.
constexpr ShapeRow kForwardStrided[] = {
    {8, {5, 2}, {5, 0}},
    {1, {5, 3}, {5, 1}},
};
// Up to 32 lanes share a pixel, and 256 threads a tile: with 32 lanes, runs of eight pixels (few:
// two). The longer the run, the fewer the atomic additions.
constexpr ShapeRow kBackwardPacked[] = {
    {16, {3, 3}, {2, 2}},
    {4, {3, 3}, {3, 3}},
    {1, {4, 4}, {4, 4}},
};

template <int rows>
Tiles choose_tiles(const Arguments& args, const ShapeRow (&table)[rows], int64_t groups,
                   int64_t enough_blocks) {
  const ShapeRow* row = table;
  while (row->groups > groups) ++row;
  const Tiles many(args, row->many.width_log2, row->many.height_log2);
  return many.count >= enough_blocks ? many
                                     : Tiles(args, row->few.width_log2, row->few.height_log2);
}

// Rows of 32 pixels would be mostly empty on narrow images: the tile is made as narrow, and taller.
inline Tiles fit(const Arguments& args, const Tiles& tiles) {
  int narrow = tiles.width_log2;
  while (narrow > 0 && (1 << (narrow - 1)) >= args.W) --narrow;
  return Tiles(args, narrow, tiles.pixels_log2() - narrow);
}

}  // namespace rfwarp::cuda
