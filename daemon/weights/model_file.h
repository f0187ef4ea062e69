#ifndef HEARTH_DAEMON_WEIGHTS_MODEL_FILE_H_
#define HEARTH_DAEMON_WEIGHTS_MODEL_FILE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/chat/chat_templates.h"
#include "engine/file/gguf.h"
#include "engine/model/model.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// A model file as its coordinator needs it before any weight is loaded.
struct ModelFile {
  std::shared_ptr<const GgufFile> file;
  ModelOptions options;      // the sparsity is settled
  std::string sparsity_why;  // in words
  std::shared_ptr<const ModelOutline> outline;
  std::unique_ptr<Tokenizer> tokenizer;
  ChatTemplates chat;
  std::string quantisation;  // the most common type of its weights
};

// Reads what `file` says of itself. `sparsity`: nullopt for the best that the file allows. `adapter`: of
// OpenAdapters, or null. INVALID_ARGUMENT
// for a file that is no usable model and for a sparsity that it does not allow (says which it does).
absl::StatusOr<ModelFile> ReadModelFile(std::shared_ptr<const GgufFile> file,
                                        std::optional<SparsityMode> sparsity, uint32_t context_length,
                                        Arithmetic arithmetic = Arithmetic::kFast,
                                        std::shared_ptr<const GgufFile> adapter = {});

// "sha256:..." of a file, as it was opened. Large files take a while: the digest is kept in `cache_dir` under
// the file's inode, size and time of change. `progress` gets the bytes read so far; `stop` ends it early with
// CANCELLED. DATA_LOSS when the file was changed meanwhile.
absl::StatusOr<std::string> DigestOfFile(const GgufFile& file, const std::string& cache_dir,
                                         const std::atomic<bool>& stop,
                                         const std::function<void(uint64_t bytes)>& progress);

// Lets DigestOfFile find a digest that is known already.
void KeepDigest(const GgufFile& file, const std::string& cache_dir, const std::string& digest);

// Whether a text has the form of one.
bool IsDigest(const std::string& text);

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_MODEL_FILE_H_
