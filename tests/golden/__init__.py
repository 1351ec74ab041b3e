"""What a GPU really gives: inputs and outputs of every wrapper of csrc/cuda/ptx, recorded there, replayed here.

python -m tests.golden record          on a machine with a GPU: writes tests/golden/<arch>/*.npz
pytest tests/simt/test_golden.py       holds the executor to them, bit for bit
"""
