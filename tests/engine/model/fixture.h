#ifndef HEARTH_TESTS_ENGINE_MODEL_FIXTURE_H_
#define HEARTH_TESTS_ENGINE_MODEL_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/npy.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/model/decoder.h"
#include "engine/model/model.h"
#include "tests/support/local_devices.h"

namespace hearth {

// The tiny models that tests/fixtures/make_model_fixtures.py writes, with the logits they must give.
inline std::string FixturePath(const std::string& name) { return "tests/engine/model/fixtures/" + name; }

// The tokens that the logits belong to.
inline std::vector<TokenId> FixtureTokens() {
  std::vector<TokenId> tokens;
  for (TokenId i = 0; i < 12; ++i) tokens.push_back(i * 5 % 24);
  return tokens;
}

// A model with CPU devices and a decoder.
struct Runtime {
  std::shared_ptr<const Model> model;
  LocalDevices devices;
  std::unique_ptr<Decoder> decoder;

  static absl::StatusOr<Runtime> Make(std::shared_ptr<const GgufFile> file, ModelOptions model_options,
                                      DecoderOptions decoder_options, ThreadPool& pool,
                                      int device_count = 1) {
    Runtime runtime;
    model_options.arithmetic = Arithmetic::kFloat32;
    HEARTH_ASSIGN_OR_RETURN(runtime.model, Model::Load(std::move(file), std::move(model_options), pool));
    HEARTH_ASSIGN_OR_RETURN(runtime.decoder, Decoder::Create(runtime.model, decoder_options, pool));
    HEARTH_ASSIGN_OR_RETURN(runtime.devices,
                            LocalDevices::Make(*runtime.model, decoder_options, device_count, pool));
    runtime.decoder->SetDevices(runtime.devices.share->devices());
    return runtime;
  }

  // Evaluates the tokens as a sequence from its start, at most `chunk` at once; (tokens, vocabulary).
  absl::StatusOr<std::vector<float>> Evaluate(const std::vector<TokenId>& tokens, size_t chunk,
                                              uint32_t sequence = 0) {
    const size_t vocabulary = model->spec().n_vocab;
    std::vector<float> logits(tokens.size() * vocabulary);
    std::vector<BatchRow> rows;
    for (size_t begin = 0; begin < tokens.size(); begin += rows.size()) {
      rows.clear();
      for (size_t t = begin; t < tokens.size() && rows.size() < chunk; ++t) {
        rows.push_back({sequence, static_cast<uint32_t>(t), tokens[t], true});
      }
      HEARTH_RETURN_IF_ERROR(decoder->Step(rows, absl::MakeSpan(logits).subspan(begin * vocabulary)));
    }
    return logits;
  }
};

inline absl::StatusOr<Runtime> OpenFixture(const std::string& name, ThreadPool& pool, int device_count = 1,
                                           DecoderOptions decoder_options = {
                                               .sequences = 3, .context_length = 48, .max_rows = 32}) {
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> file, GgufFile::Open(FixturePath(name + ".gguf")));
  ModelOptions options;
  options.context_length = decoder_options.context_length;
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> scaling,
                          file->metadata().GetString("fixture.rope_scaling"));
  options.rope_scaling = scaling.value_or("");
  if (file->is_powerinfer()) options.sparsity = SparsityMode::kPredicted;
  return Runtime::Make(std::move(file), options, decoder_options, pool, device_count);
}

}  // namespace hearth

#endif  // HEARTH_TESTS_ENGINE_MODEL_FIXTURE_H_
