// Rows of an instruction set's table of convolutions, found by name, and run.
#pragma once

#include <string>

#include "bindings/arrays.h"
#include "cpu/kernels.h"

namespace fastconv::bindings {

// The row of an algorithm for a problem that it must take. Throws ValueError with the reason where there is none.
const ConvRow& row_for(const Kernels& table, int op, const std::string& name, DType dtype, const ConvProblem& problem);

// Elements that the row's kernel reads of its weight, and their size.
int64_t weight_elements(const ConvRow& row, const ConvProblem& problem);
int64_t weight_element_size(const ConvRow& row, DType dtype);

// Sets the threads and the workspace of `args`, all else of which is checked and filled, and runs the kernel.
void run_row(const ConvRow& row, ConvArgs args);

}  // namespace fastconv::bindings
