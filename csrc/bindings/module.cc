// fastconv._core: the compiled kernels. Private; fastconv.backends.cpu is its only caller.
#include "bindings/arrays.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Compiled kernels of fastconv. Private: use fastconv.ops.";
  fastconv::bindings::bind_runtime(m);
  fastconv::bindings::bind_conv(m);
  fastconv::bindings::bind_pool(m);
  fastconv::bindings::bind_linear(m);
  fastconv::bindings::bind_norm(m);
  fastconv::bindings::bind_elementwise(m);
  fastconv::bindings::bind_optimizer(m);
  fastconv::bindings::bind_launch(m);
}
