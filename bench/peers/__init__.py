"""Our CPU kernels beside other engines, layer by layer: python -m bench.peers OUT_FOLDER.

Every distinct convolution of ten networks, of DeepBench and of convnet-benchmarks is measured once for each batch,
thread count and direction, and reported in every network that has it.
"""
