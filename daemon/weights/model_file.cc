#include "daemon/weights/model_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/output_file.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/profile_file.h"
#include "engine/outline/default_sparsity.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

std::string MostCommonType(const GgufFile& file) {
  std::map<TensorType, uint64_t> values;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.dimensions > 1) values[tensor.type] += tensor.values();
  }
  if (values.empty()) return "";
  const auto most = std::max_element(values.begin(), values.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return std::string(GetTypeInfo(most->first).name);
}

absl::Status CheckSparsity(const ModelOutline& outline, SparsityMode sparsity) {
  const auto any = [&](auto allows) {
    return std::any_of(outline.ffn_specs.begin(), outline.ffn_specs.end(), allows);
  };
  if (sparsity == SparsityMode::kPredicted &&
      !any([](const FfnLayerSpec& spec) { return spec.predictor_rank > 0; })) {
    return absl::InvalidArgumentError("--sparsity predicted: the file has no predictors; use exact or dense");
  }
  if (sparsity == SparsityMode::kExact &&
      !any([](const FfnLayerSpec& spec) { return spec.is_relu_family(); })) {
    return absl::InvalidArgumentError("--sparsity exact: the model's neurons have no ReLU; use dense");
  }
  return absl::OkStatus();
}

absl::Status SettleSparsity(std::optional<SparsityMode> asked, ModelFile& model) {
  SparsityChoice choice{asked.value_or(SparsityMode::kDense), "as --sparsity asks"};
  if (!asked) {
    HEARTH_ASSIGN_OR_RETURN(choice, DefaultSparsity(*model.file, model.options));
  }
  model.options.sparsity = choice.mode;
  model.sparsity_why = std::move(choice.why);
  return absl::OkStatus();
}

// Where the digest of a file in this state is kept.
std::string DigestCachePath(const GgufFile& file, const std::string& cache_dir) {
  const std::string state = file.Identity();
  const auto* bytes = reinterpret_cast<const uint8_t*>(state.data());
  return absl::StrCat(cache_dir, "/", Sha256Hex(Sha256Of({bytes, state.size()})));
}

}  // namespace

bool IsDigest(const std::string& text) {
  return text.size() == 71 && absl::StartsWith(text, "sha256:") &&
         text.find_first_not_of("0123456789abcdef", 7) == std::string::npos;
}

absl::StatusOr<ModelFile> ReadModelFile(std::shared_ptr<const GgufFile> file,
                                        std::optional<SparsityMode> sparsity, uint32_t context_length,
                                        Arithmetic arithmetic, std::shared_ptr<const GgufFile> adapter) {
  ModelFile model;
  model.file = std::move(file);
  model.options.adapter = std::move(adapter);
  HEARTH_ASSIGN_OR_RETURN(model.options.profile, FindProfile("", *model.file));
  model.options.context_length = context_length;
  HEARTH_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(*model.file, SpecOptionsOf(model.options)));
  model.options.arithmetic = arithmetic;
  model.options.context_length =
      spec.context_length > 0 ? std::min(context_length, spec.context_length) : context_length;
  HEARTH_RETURN_IF_ERROR(SettleSparsity(sparsity, model));
  HEARTH_ASSIGN_OR_RETURN(ModelOutline outline, OutlineModel(*model.file, model.options));
  HEARTH_RETURN_IF_ERROR(CheckSparsity(outline, model.options.sparsity));
  model.outline = std::make_shared<const ModelOutline>(std::move(outline));
  HEARTH_ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::FromMetadata(model.file->metadata()));
  // Fewer are fine: files pad their matrices.
  if (const auto tokens = static_cast<uint32_t>(model.tokenizer->vocab_size()); tokens > spec.n_vocab) {
    return absl::InvalidArgumentError(absl::StrCat("the vocabulary has ", tokens,
                                                   " tokens, but token_embd.weight has ", spec.n_vocab,
                                                   " rows; fetch or convert the model again"));
  }
  model.chat = ChatTemplates::FromMetadata(model.file->metadata(), *model.tokenizer);
  model.quantisation = MostCommonType(*model.file);
  return model;
}

absl::StatusOr<std::string> DigestOfFile(const GgufFile& file, const std::string& cache_dir,
                                         const std::atomic<bool>& stop,
                                         const std::function<void(uint64_t bytes)>& progress) {
  std::string digest;
  if (std::ifstream(DigestCachePath(file, cache_dir)) >> digest && IsDigest(digest)) return digest;

  constexpr size_t kPiece = 4 << 20;
  Sha256 sha;
  uint64_t done = 0;
  for (absl::Span<const uint8_t> left : file.parts()) {
    while (!left.empty()) {
      if (stop) return absl::CancelledError("stopped");
      const absl::Span<const uint8_t> piece = left.subspan(0, kPiece);
      sha.Update(piece);
      file.Release(piece);
      left.remove_prefix(piece.size());
      done += piece.size();
      progress(done);
    }
  }
  HEARTH_RETURN_IF_ERROR(file.CheckUnchanged());
  digest = absl::StrCat("sha256:", Sha256Hex(sha.Finish()));
  KeepDigest(file, cache_dir, digest);
  return digest;
}

void KeepDigest(const GgufFile& file, const std::string& cache_dir, const std::string& digest) {
  std::error_code ignored;
  fs::create_directories(cache_dir, ignored);
  // Without the cache the digest is simply computed again.
  WriteFile(DigestCachePath(file, cache_dir), digest + "\n", Replace::kRegularFile).IgnoreError();
}

}  // namespace hearth
