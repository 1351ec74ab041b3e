// The register tiles of every height and width.
#include "cpu/gemm/tile.h"

#include "cpu/gemm/outer_tile.h"

namespace fastconv::FC_ISA {

#if defined(__AVX512F__)
#define FC_HEIGHTS(TILE)                                              \
  {TILE(1), TILE(2), TILE(3),  TILE(4),  TILE(5),  TILE(6),  TILE(7), \
   TILE(8), TILE(9), TILE(10), TILE(11), TILE(12), TILE(13), TILE(14)}
#else
#define FC_HEIGHTS(TILE) {TILE(1), TILE(2), TILE(3), TILE(4), TILE(5), TILE(6)}
#endif

#define FC_TILE(MR) {gemm_tile<S, MR, 1>, gemm_tile<S, MR, 2>}
template <class S>
const TileKernel<S> TileTable<S>::kernels[Tile<Compute<S>>::mr][Tile<Compute<S>>::nv] = FC_HEIGHTS(FC_TILE);
#undef FC_TILE

#define FC_TILE(MR) {outer_tile<T, MR, 1>, outer_tile<T, MR, 2>}
template <class T>
const OuterTile<T> OuterTileTable<T>::kernels[Tile<T>::mr][Tile<T>::nv] = FC_HEIGHTS(FC_TILE);
#undef FC_TILE

template struct TileTable<float>;
template struct TileTable<Half>;
template struct TileTable<BFloat16>;
template struct TileTable<double>;
template struct OuterTileTable<float>;
template struct OuterTileTable<double>;

}  // namespace fastconv::FC_ISA
