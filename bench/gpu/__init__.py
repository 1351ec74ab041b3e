"""A GPU measured in one command, beside cuDNN: python -m bench.gpu. See docs/benchmarking-gpu.md.

The command itself never touches the GPU. A worker process takes unit after unit of a plan and writes down what came
out; where it crashes, hangs or loses the device, another one goes on after the unit that did it.
"""
