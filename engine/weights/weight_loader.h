#ifndef HEARTH_ENGINE_WEIGHTS_WEIGHT_LOADER_H_
#define HEARTH_ENGINE_WEIGHTS_WEIGHT_LOADER_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "engine/base/thread_pool.h"
#include "engine/file/gguf.h"
#include "engine/kernel/matrix.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/weights/parameters.h"
#include "engine/weights/tensor_set.h"

namespace hearth {

// Finds tensors by name, checks their shapes and brings them into memory. The first error is kept and
// everything after it comes back empty, so that a model's weights read as a list; Finish() tells in the end.
// Not thread-safe.
class WeightLoader {
 public:
  // `tensors` outlives the loader. Without a pool it only checks and counts: matrices stay empty, nothing is
  // read.
  WeightLoader(const TensorSet& tensors, Arithmetic arithmetic, ThreadPool* pool);
  // Matrices borrow the tensors' rows as they are (Matrix::Borrow), for a device that packs them itself.
  static WeightLoader Borrowing(const TensorSet& tensors, ThreadPool* pool);

  using Shape = std::initializer_list<uint64_t>;  // as in the file: contiguous dimension first

  // The tensors that were asked for and are there, in the order of the set.
  std::vector<const GgufTensor*> used() const;

  // Whether there is a tensor of that name.
  bool Has(const std::string& tensor) const { return tensors_.Find(tensor) != nullptr; }

  // The tensor, or nullptr and an error when it is missing or of another shape.
  const GgufTensor* Require(const std::string& tensor, Shape shape);
  // The same, but it may be missing.
  const GgufTensor* Optional(const std::string& tensor, Shape shape);

  // name.weight (rows, cols) with name.bias and name.scale where the file has them.
  Linear LoadLinear(const std::string& name, uint64_t rows, uint64_t cols);
  // name.weight alone.
  Matrix LoadMatrix(const std::string& name, uint64_t rows, uint64_t cols);
  // Rows [first, first + rows) of a tensor `name` that stacks several matrices, `total` rows in all.
  Linear LoadLinearPart(const std::string& name, uint64_t first, uint64_t rows, uint64_t total,
                        uint64_t cols);
  // Rows [first, first + rows) of `total` of one half of a LoRA adapter: a float32 tensor (adapter_file.h).
  Matrix LoadAdapter(const std::string& tensor, uint64_t first, uint64_t rows, uint64_t total, uint64_t cols);
  // name.weight and, where it is there, name.bias.
  Norm LoadNorm(const std::string& name, Shape shape);
  // A tensor as float32 values.
  std::vector<float> LoadVector(const std::string& tensor, Shape shape);
  std::vector<float> LoadOptionalVector(const std::string& tensor, Shape shape);
  // Borrow a tensor as it is in the file: a table of which a token reads a row, or a matrix that it reads
  // whole.
  RowTable BorrowRows(const std::string& tensor, Shape shape);
  RowTable BorrowMatrix(const std::string& tensor, Shape shape);

  // The part of a feed-forward block that a tensor holds; the loader does not count its bytes.
  WeightSlice Slice(const std::string& tensor, Shape shape, uint64_t first_row = 0);
  // One half of a LoRA adapter, as LoadAdapter's.
  WeightSlice AdapterSlice(const std::string& tensor, Shape shape, uint64_t first_row = 0);
  // The same for vectors, whose values stand alone: an error for a quantised type.
  WeightSlice VectorSlice(const std::string& tensor, Shape shape);
  WeightSlice OptionalVectorSlice(const std::string& tensor, Shape shape, uint64_t first_value = 0);

  // Tensors with these prefixes are known but not needed.
  void Ignore(std::string prefix) { ignored_.push_back(std::move(prefix)); }

  // Keeps the error if it is the first.
  void Fail(absl::Status status) { status_.Update(std::move(status)); }
  // Whether nothing has failed so far.
  bool ok() const { return status_.ok(); }
  // The first error.
  const absl::Status& status() const { return status_; }
  // The first error; else an error that names a tensor of the set that nothing asked for.
  absl::Status Finish() const;

  // Bytes of what was loaded (or checked) so far, and those of them that every token reads.
  uint64_t bytes() const { return bytes_; }
  uint64_t bytes_per_token() const { return bytes_ - bytes_read_by_row_; }
  // Whether something that was loaded reads the tensors' own bytes, which must then outlive it.
  bool borrows() const { return borrows_; }

 private:
  std::vector<float> ToVector(const GgufTensor& tensor);
  Matrix Pack(const GgufTensor& tensor, uint64_t first_row, uint64_t rows);
  // Null and an error where it is not float32 either.
  const GgufTensor* RequireAdapter(const std::string& tensor, Shape shape);

  const TensorSet& tensors_;
  Arithmetic arithmetic_;
  ThreadPool* pool_;
  absl::flat_hash_set<const GgufTensor*> used_;
  std::vector<std::string> ignored_;
  absl::Status status_;
  uint64_t bytes_ = 0;
  uint64_t bytes_read_by_row_ = 0;
  bool borrows_ = false;
  bool packs_ = true;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_WEIGHTS_WEIGHT_LOADER_H_
