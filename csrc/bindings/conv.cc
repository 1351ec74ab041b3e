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
  // Every offset that a kernel computes, also outside the image.
  elements({p, stride_h, w, c}), elements({r, dilation_h, w, c}), elements({pad_top, w, c});
  elements({q, stride_w, c}), elements({s, dilation_w, c}), elements({pad_left, c});
  elements({p, q, r, s, c});  // the column matrix of im2col
  return {n, c, h, w, k, r, s, p, q, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups};
}

const ConvAlgorithm& algorithm(const DTypeKernels& table, const std::string& name) {
  if (name == "implicit_gemm") return table.implicit_gemm;
  if (name == "im2col_gemm") return table.im2col_gemm;
  throw py::value_error("unknown convolution algorithm '" + name + "'");
}

int64_t workspace_bytes(const std::string& name, int dtype, const ConvProblem& problem) {
  if (name == "reference") return 0;
  const DTypeKernels& table = kernels().dtype[int(dtype_of(dtype))];
  return algorithm(table, name).workspace(problem, ThreadPool::instance().threads());
}

int64_t panel_elements(const DTypeKernels& table, const ConvProblem& d) {
  return d.groups * table.packed_size(d.k / d.groups, d.r * d.s * (d.c / d.groups));
}

// [k][r][s][c/groups] in the storage type to the panels of gemm/pack.h. The result is 64-byte aligned.
py::array pack_weight(const std::string& isa, int code, const ConvProblem& d, const py::array& krsc) {
  const DType dtype = dtype_of(code);
  const DTypeKernels& table = kernels_of(isa).dtype[code];
  const int64_t window = d.r * d.s * (d.c / d.groups), group_k = d.k / d.groups;
  const char* const rows =
      static_cast<const char*>(dense(krsc, elements({d.k, window}), storage_size(dtype), "weight"));
  const int64_t count = panel_elements(table, d), size = compute_size(dtype);
  AlignedBuffer buffer = allocate_aligned(count * size);
  char* const panels = buffer.get();
  py::capsule owner(buffer.release(), [](void* p) { std::free(p); });
  {
    py::gil_scoped_release release;
    for (int64_t group = 0; group < d.groups; group++)
      table.pack_weight(ThreadPool::instance(), rows + group * group_k * window * storage_size(dtype), group_k, window,
                        panels + group * (count / d.groups) * size);
  }
  return py::array(size == 8 ? py::dtype::of<double>() : py::dtype::of<float>(), {count}, {size}, panels, owner);
}

// `isa` is the one that the panels were packed for: panels of one ISA mean nothing to another's kernels.
void conv(const std::string& isa, const std::string& name, int code, const ConvProblem& d, const py::array& x,
          const py::array& weight, const py::object& bias, const py::object& residual, py::array y, int activation) {
  const DType dtype = dtype_of(code);
  const int64_t size = storage_size(dtype);
  if (activation < 0 || activation > int(Activation::kSigmoid)) throw py::value_error("activation out of range");
  const bool reference = name == "reference";
  const DTypeKernels& table = kernels_of(isa).dtype[code];
  const ConvAlgorithm chosen = reference ? ConvAlgorithm{} : algorithm(table, name);
  ThreadPool& pool = ThreadPool::instance();
  ConvArgs args{};
  args.problem = d;
  args.x = dense(x, elements({d.n, d.h, d.w, d.c}), size, "x");
  args.weight = reference ? dense(weight, elements({d.k, d.r, d.s, d.c / d.groups}), size, "weight")
                          : dense(weight, panel_elements(table, d), compute_size(dtype), "weight panels");
  args.bias = dense(bias, d.k, compute_size(dtype), "bias");
  const int64_t outputs = elements({d.n, d.p, d.q, d.k});
  args.residual = dense(residual, outputs, size, "residual");
  args.y = dense_out(y, outputs, size, "y");
  args.activation = Activation(activation);
  args.threads = pool.threads();
  if (outputs == 0) return;

  py::gil_scoped_release release;
  if (reference) return conv_reference(pool, dtype, args);
  const Workspace workspace(chosen.workspace(d, args.threads));
  args.workspace = workspace.data();
  chosen.run(pool, args);
}

// One function for both gradients: they differ in which operand is given and which is wanted.
void conv_grad(bool of_input, int code, const ConvProblem& d, const py::array& grad, const py::array& other,
               py::array result) {
  const DType dtype = dtype_of(code);
  const int64_t size = storage_size(dtype);
  const int64_t images = elements({d.n, d.h, d.w, d.c}), filters = elements({d.k, d.r, d.s, d.c / d.groups});
  ConvGradArgs args{};
  args.problem = d;
  args.grad = dense(grad, elements({d.n, d.p, d.q, d.k}), size, "grad");
  args.other = dense(other, of_input ? filters : images, size, of_input ? "weight" : "x");
  args.result = dense_out(result, of_input ? images : filters, size, "result");
  py::gil_scoped_release release;
  (of_input ? conv_input_grad_reference : conv_weight_grad_reference)(ThreadPool::instance(), dtype, args);
}

}  // namespace

void bind_conv(py::module_& m) {
  py::class_<ConvProblem>(m, "ConvProblem")
      .def(py::init(&make_problem), py::kw_only(), py::arg("n"), py::arg("c"), py::arg("h"), py::arg("w"), py::arg("k"),
           py::arg("r"), py::arg("s"), py::arg("p"), py::arg("q"), py::arg("stride_h"), py::arg("stride_w"),
           py::arg("pad_top"), py::arg("pad_left"), py::arg("dilation_h"), py::arg("dilation_w"), py::arg("groups"));
  m.def("conv_workspace", &workspace_bytes, py::arg("algorithm"), py::arg("dtype"), py::arg("problem"));
  m.def("pack_weight", &pack_weight, py::arg("isa"), py::arg("dtype"), py::arg("problem"), py::arg("krsc"));
  m.def("conv", &conv, py::arg("isa"), py::arg("algorithm"), py::arg("dtype"), py::arg("problem"), py::arg("x"),
        py::arg("weight"), py::arg("bias"), py::arg("residual"), py::arg("y"), py::arg("activation"));
  m.def("conv_grad", &conv_grad, py::arg("of_input"), py::arg("dtype"), py::arg("problem"), py::arg("grad"),
        py::arg("other"), py::arg("result"));
}

}  // namespace fastconv::bindings
