#include "bindings/conv_rows.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

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
  // Every offset that a kernel computes, also outside the image: forward in x, an input's gradient in dy.
  const int64_t channels = std::max(c, k), width = std::max(w, q), row = elements({width, channels});
  distance({std::max(h, p), stride_h, row}), distance({r, dilation_h, row}), distance({pad_top, row});
  distance({width, stride_w, channels}), distance({s, dilation_w, channels}), distance({pad_left, channels});
  elements({p, q, r, s, c}), elements({h, w, r, s, k});  // the column matrix of im2col, and a gradient's windows
  return {n, c, h, w, k, r, s, p, q, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups};
}

ConvOp op_of(int op) {
  if (op < 0 || op > int(ConvOp::kWeightGrad)) throw py::value_error("operation out of range");
  return ConvOp(op);
}

const ConvRow& find_row(const Kernels& table, int op, const std::string& name, DType dtype) {
  for (const ConvAlgorithm* const* algorithm = table.conv; *algorithm; algorithm++)
    if ((*algorithm)->op == op_of(op) && name == (*algorithm)->name && (*algorithm)->dtype[int(dtype)].run)
      return (*algorithm)->dtype[int(dtype)];
  throw py::value_error("no convolution algorithm '" + name + "' for this operation and dtype");
}

// [(operation, name, dtype codes)] in the order of the table, which is every ISA's (nobody has chosen one yet).
std::vector<std::tuple<int, std::string, std::vector<int>>> conv_algorithms() {
  std::vector<std::tuple<int, std::string, std::vector<int>>> found;
  for (const ConvAlgorithm* const* algorithm = portable::kernels.conv; *algorithm; algorithm++) {
    std::vector<int> codes;
    for (int code = 0; code < kDTypeCount; code++)
      if ((*algorithm)->dtype[code].run) codes.push_back(code);
    found.emplace_back(int((*algorithm)->op), (*algorithm)->name, codes);
  }
  return found;
}

std::optional<std::string> conv_refusal(int op, const std::string& name, int dtype, const ConvProblem& problem) {
  const ConvRow& row = find_row(kernels(), op, name, dtype_of(dtype));
  const char* const reason = row.refuses ? row.refuses(problem) : nullptr;
  return reason ? std::optional<std::string>(reason) : std::nullopt;
}

// Elements of the result; where there are none, no kernel is asked for anything.
int64_t results_of(ConvOp op, const ConvProblem& d) {
  switch (op) {
    case ConvOp::kForward: return elements({d.n, d.p, d.q, d.k});
    case ConvOp::kInputGrad: return elements({d.n, d.h, d.w, d.c});
    case ConvOp::kWeightGrad: return elements({d.k, d.r, d.s, d.c / d.groups});
  }
  return 0;
}

int64_t workspace_bytes(int op, const std::string& name, int dtype, const ConvProblem& problem) {
  const ConvRow& row = row_for(kernels(), op, name, dtype_of(dtype), problem);
  if (!row.workspace || results_of(op_of(op), problem) == 0) return 0;
  return row.workspace(problem, ThreadPool::instance().threads());
}

// The name of the form in which an algorithm wants the weight, or "" for KRSC.
std::string weight_form(int op, const std::string& name, int dtype) {
  const char* const form = find_row(kernels(), op, name, dtype_of(dtype)).weight.name;
  return form ? form : "";
}

// [k][r][s][c/groups] in the storage type to an algorithm's form. The result is 64-byte aligned.
py::array pack_weight(const std::string& isa, int op, const std::string& name, int code, const ConvProblem& d,
                      const py::array& krsc) {
  const DType dtype = dtype_of(code);
  const WeightForm& form = row_for(kernels_of(isa), op, name, dtype, d).weight;
  if (!form.name) throw py::value_error("algorithm '" + name + "' takes the weight as it is");
  const void* const rows = dense(krsc, elements({d.k, d.r, d.s, d.c / d.groups}), storage_size(dtype), "weight");
  const int64_t count = form.elements(d), size = compute_size(dtype);
  AlignedBuffer buffer = allocate_aligned(count * size);
  char* const packed = buffer.get();
  py::capsule owner(buffer.release(), [](void* p) { std::free(p); });
  {
    py::gil_scoped_release release;
    form.pack(ThreadPool::instance(), d, rows, packed);
  }
  return py::array(size == 8 ? py::dtype::of<double>() : py::dtype::of<float>(), {count}, {size}, packed, owner);
}

// `isa` is the one that the weight was packed for: the form of one ISA means nothing to another's kernels.
void conv(const std::string& isa, int op_code, const std::string& name, int code, const ConvProblem& d,
          const py::array& x, const py::array& weight, const py::object& bias, const py::object& residual, py::array y,
          int activation) {
  const DType dtype = dtype_of(code);
  const ConvOp op = op_of(op_code);
  const int64_t size = storage_size(dtype);
  if (activation < 0 || activation > int(Activation::kSigmoid)) throw py::value_error("activation out of range");
  const ConvRow& row = row_for(kernels_of(isa), op_code, name, dtype, d);
  if (op != ConvOp::kForward && !(bias.is_none() && residual.is_none() && activation == 0))
    throw py::value_error("a gradient takes no bias, residual or activation");

  const int64_t inputs = elements({d.n, d.h, d.w, d.c}), outputs = elements({d.n, d.p, d.q, d.k});
  ConvArgs args{};
  args.problem = d;
  args.x = dense(x, op == ConvOp::kInputGrad ? outputs : inputs, size, "x");
  if (op == ConvOp::kWeightGrad) {
    args.weight = dense(weight, outputs, size, "grad");
  } else {
    args.weight = dense(weight, weight_elements(row, d), weight_element_size(row, dtype), "weight");
  }
  args.bias = dense(bias, d.k, compute_size(dtype), "bias");
  const int64_t results = results_of(op, d);
  args.residual = dense(residual, results, size, "residual");
  args.y = dense_out(y, results, size, "y");
  args.activation = Activation(activation);
  if (results == 0) return;

  py::gil_scoped_release release;
  run_row(row, args);
}

}  // namespace

const ConvRow& row_for(const Kernels& table, int op, const std::string& name, DType dtype, const ConvProblem& d) {
  const ConvRow& row = find_row(table, op, name, dtype);
  if (const char* reason = row.refuses ? row.refuses(d) : nullptr) throw py::value_error(reason);
  return row;
}

int64_t weight_elements(const ConvRow& row, const ConvProblem& d) {
  return row.weight.name ? row.weight.elements(d) : elements({d.k, d.r, d.s, d.c / d.groups});
}

int64_t weight_element_size(const ConvRow& row, DType dtype) {
  return row.weight.name ? compute_size(dtype) : storage_size(dtype);
}

void run_row(const ConvRow& row, ConvArgs args) {
  ThreadPool& pool = ThreadPool::instance();
  args.threads = pool.threads();
  const Workspace workspace(row.workspace ? row.workspace(args.problem, args.threads) : 0);
  args.workspace = workspace.data();
  row.run(pool, args);
}

void bind_conv(py::module_& m) {
  py::class_<ConvProblem>(m, "ConvProblem")
      .def(py::init(&make_problem), py::kw_only(), py::arg("n"), py::arg("c"), py::arg("h"), py::arg("w"), py::arg("k"),
           py::arg("r"), py::arg("s"), py::arg("p"), py::arg("q"), py::arg("stride_h"), py::arg("stride_w"),
           py::arg("pad_top"), py::arg("pad_left"), py::arg("dilation_h"), py::arg("dilation_w"), py::arg("groups"));
  m.def("conv_algorithms", &conv_algorithms);
  m.def("conv_refusal", &conv_refusal, py::arg("op"), py::arg("algorithm"), py::arg("dtype"), py::arg("problem"));
  m.def("conv_workspace", &workspace_bytes, py::arg("op"), py::arg("algorithm"), py::arg("dtype"), py::arg("problem"));
  m.def("weight_form", &weight_form, py::arg("op"), py::arg("algorithm"), py::arg("dtype"));
  m.def("pack_weight", &pack_weight, py::arg("isa"), py::arg("op"), py::arg("algorithm"), py::arg("dtype"),
        py::arg("problem"), py::arg("krsc"));
  m.def("conv", &conv, py::arg("isa"), py::arg("op"), py::arg("algorithm"), py::arg("dtype"), py::arg("problem"),
        py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("residual"), py::arg("y"), py::arg("activation"));
}

}  // namespace fastconv::bindings
