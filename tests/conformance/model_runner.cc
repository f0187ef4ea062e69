#include "tests/conformance/model_runner.h"

#include <algorithm>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/file/gguf.h"

namespace hearth {

absl::StatusOr<ModelRunner> ModelRunner::Open(const std::string& path, const RunOptions& options,
                                              ThreadPool& pool) {
  ModelRunner runner(options);
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(path));
  ModelOptions model_options;
  model_options.sparsity = options.sparsity;
  model_options.arithmetic = options.arithmetic;
  model_options.context_length = options.context_length;
  model_options.rope_scaling = options.rope_scaling;
  HEARTH_ASSIGN_OR_RETURN(runner.model_, Model::Load(std::move(file), model_options, pool));
  DecoderOptions decoder_options;
  decoder_options.context_length = options.context_length;
  if (const uint32_t known = runner.model_->spec().learned_positions; known > 0) {
    decoder_options.context_length =
        std::min(options.context_length, known - runner.model_->spec().position_offset);
  }
  HEARTH_ASSIGN_OR_RETURN(runner.decoder_, Decoder::Create(runner.model_, decoder_options, pool));
  HEARTH_ASSIGN_OR_RETURN(runner.devices_,
                          LocalDevices::Make(*runner.model_, decoder_options, options.devices, pool));
  runner.decoder_->SetDevices(runner.devices_.share->devices());
  return runner;
}

absl::StatusOr<std::vector<float>> ModelRunner::Evaluate(const std::vector<int32_t>& tokens, size_t prompt) {
  const size_t vocabulary = model_->spec().n_vocab;
  std::vector<float> logits(tokens.size() * vocabulary);
  HEARTH_RETURN_IF_ERROR(decoder_->Truncate(0, 0));
  std::vector<BatchRow> rows;
  for (size_t begin = 0; begin < tokens.size(); begin += rows.size()) {
    rows.clear();
    for (size_t t = begin; t < tokens.size() && rows.size() < options_.chunk; ++t) {
      rows.push_back({0, static_cast<uint32_t>(t), tokens[t], true, t < prompt});
    }
    HEARTH_RETURN_IF_ERROR(
        decoder_->Step(rows, absl::MakeSpan(logits).subspan(begin * vocabulary, rows.size() * vocabulary)));
  }
  return logits;
}

absl::StatusOr<std::vector<int32_t>> ModelRunner::Continue(const std::vector<int32_t>& prompt, size_t count) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<float> logits, Evaluate(prompt));
  const size_t vocabulary = model_->spec().n_vocab;
  logits.erase(logits.begin(), logits.end() - static_cast<std::ptrdiff_t>(vocabulary));
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < count; ++i) {
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    tokens.push_back(static_cast<int32_t>(best));
    const BatchRow row{0, static_cast<uint32_t>(prompt.size() + i), tokens.back(), true};
    HEARTH_RETURN_IF_ERROR(decoder_->Step({&row, 1}, absl::MakeSpan(logits)));
  }
  return tokens;
}

}  // namespace hearth
