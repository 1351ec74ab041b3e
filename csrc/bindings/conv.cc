#include "bindings/arrays.h"
#include "cpu/runtime/dispatch.h"
#include "cpu/runtime/workspace.h"

namespace fastconv::bindings {
namespace {

ConvProblem make_problem(int64_t n, int64_t c, int64_t h, int64_t w, int64_t k, int64_t r, int64_t s, int64_t p,
                         int64_t q, int64_t stride_h, int64_t stride_w, int64_t pad_top, int64_t pad_left,
                         int64_t dilation_h, int64_t dilation_w, int64_t groups) {
  if (groups < 1 || c % groups || k % groups) throw py::value_error("groups must divide c and k");
  if (stride_h < 1 || stride_w < 1 || dilation_h < 1 || dilation_w < 1 || pad_top < 0 || pad_left < 0)
    throw py::value_error("stride and dilation must be positive, padding not negative");
  elements({n, c, h, w}), elements({k, c / groups, r, s}), elements({n, k, p, q});
  elements({p, stride_h}), elements({q, stride_w}), elements({r, dilation_h}), elements({s, dilation_w});
  elements({p, q, r, s, c});  // the column matrix of im2col
  return {n, c, h, w, k, r, s, p, q, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups};
}

const ConvAlgorithm& algorithm(const std::string& name, DType dtype) {
  const DTypeKernels& table = kernels().dtype[int(dtype)];
  if (name == "implicit_gemm") return table.implicit_gemm;
  if (name == "im2col_gemm") return table.im2col_gemm;
  throw py::value_error("unknown convolution algorithm '" + name + "'");
}

int64_t workspace_bytes(const std::string& name, int dtype, const ConvProblem& problem) {
  if (name == "reference") return 0;
  return algorithm(name, dtype_of(dtype)).workspace(problem, ThreadPool::instance().threads());
}

int64_t panel_elements(DType dtype, const ConvProblem& d) {
  return d.groups * kernels().dtype[int(dtype)].packed_size(d.k / d.groups, d.r * d.s * (d.c / d.groups));
}

// [k][r][s][c/groups] in the storage type to the panels of gemm/pack.h. The result is 64-byte aligned.
py::array pack_weight(int code, const ConvProblem& d, const py::array& krsc) {
  const DType dtype = dtype_of(code);
  const int64_t window = d.r * d.s * (d.c / d.groups), group_k = d.k / d.groups;
  const char* const rows =
      static_cast<const char*>(dense(krsc, elements({d.k, window}), storage_size(dtype), "weight"));
  const int64_t count = panel_elements(dtype, d), size = compute_size(dtype);
  AlignedBuffer buffer = allocate_aligned(count * size);
  char* const panels = buffer.get();
  py::capsule owner(buffer.release(), [](void* p) { std::free(p); });
  {
    py::gil_scoped_release release;
    for (int64_t group = 0; group < d.groups; group++)
      kernels().dtype[int(dtype)].pack_weight(ThreadPool::instance(),
                                              rows + group * group_k * window * storage_size(dtype), group_k, window,
                                              panels + group * (count / d.groups) * size);
  }
  return py::array(size == 8 ? py::dtype::of<double>() : py::dtype::of<float>(), {count}, {size}, panels, owner);
}

void conv(const std::string& name, int code, const ConvProblem& d, const py::array& x, const py::array& weight,
          const py::object& bias, const py::object& residual, py::array y, int activation) {
  const DType dtype = dtype_of(code);
  const int64_t size = storage_size(dtype);
  if (activation < 0 || activation > int(Activation::kSigmoid)) throw py::value_error("activation out of range");
  const bool reference = name == "reference";
  ThreadPool& pool = ThreadPool::instance();
  ConvArgs args{};
  args.problem = d;
  args.x = dense(x, elements({d.n, d.h, d.w, d.c}), size, "x");
  args.weight = reference ? dense(weight, elements({d.k, d.r, d.s, d.c / d.groups}), size, "weight")
                          : dense(weight, panel_elements(dtype, d), compute_size(dtype), "weight panels");
  args.bias = dense(bias, d.k, compute_size(dtype), "bias");
  const int64_t outputs = elements({d.n, d.p, d.q, d.k});
  args.residual = dense(residual, outputs, size, "residual");
  args.y = dense_out(y, outputs, size, "y");
  args.activation = Activation(activation);
  args.threads = pool.threads();
  if (outputs == 0) return;

  py::gil_scoped_release release;
  if (reference) return conv_reference(pool, dtype, args);
  const ConvAlgorithm& chosen = algorithm(name, dtype);
  const Workspace workspace(chosen.workspace(d, args.threads));
  args.workspace = workspace.data();
  chosen.run(pool, args);
}

}  // namespace

void bind_conv(py::module_& m) {
  py::class_<ConvProblem>(m, "ConvProblem")
      .def(py::init(&make_problem), py::kw_only(), py::arg("n"), py::arg("c"), py::arg("h"), py::arg("w"), py::arg("k"),
           py::arg("r"), py::arg("s"), py::arg("p"), py::arg("q"), py::arg("stride_h"), py::arg("stride_w"),
           py::arg("pad_top"), py::arg("pad_left"), py::arg("dilation_h"), py::arg("dilation_w"), py::arg("groups"));
  m.def("conv_workspace", &workspace_bytes, py::arg("algorithm"), py::arg("dtype"), py::arg("problem"));
  m.def("pack_weight", &pack_weight, py::arg("dtype"), py::arg("problem"), py::arg("krsc"));
  m.def("conv", &conv, py::arg("algorithm"), py::arg("dtype"), py::arg("problem"), py::arg("x"), py::arg("weight"),
        py::arg("bias"), py::arg("residual"), py::arg("y"), py::arg("activation"));
}

}  // namespace fastconv::bindings
