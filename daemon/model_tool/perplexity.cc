#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/session.h"
#include "daemon/model_tool/text_chunks.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/flags.h"
#include "engine/sample/sampler.h"

namespace hearth::model_tool {
namespace {

struct PerplexityFlags {
  ModelFlags model;
  std::string text_path;
  uint32_t chunk = 512;
  uint64_t max_tokens = 0;
};

// Mean and standard error of a series, by Welford's update.
class Series {
 public:
  void Add(double value) {
    ++count_;
    const double difference = value - mean_;
    mean_ += difference / static_cast<double>(count_);
    squares_ += difference * (value - mean_);
  }
  uint64_t count() const { return count_; }
  double mean() const { return mean_; }
  double standard_error() const {
    const auto n = static_cast<double>(count_);
    return count_ < 2 ? 0 : std::sqrt(squares_ / (n - 1) / n);
  }

 private:
  uint64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

// Adds -ln p of every token of a chunk after its first.
absl::Status ScoreChunk(Session& session, absl::Span<const TokenId> chunk, Series& series) {
  HEARTH_RETURN_IF_ERROR(session.Clear());
  return session.Append(chunk, true, [&](size_t index, absl::Span<float> logits) {
    if (index + 1 < chunk.size()) series.Add(-static_cast<double>(LogprobOf(logits, chunk[index + 1])));
    return absl::OkStatus();
  });
}

absl::Status Perplexity(const PerplexityFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadText(flags.text_path));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(flags.model, flags.chunk));
  HEARTH_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, session->tokenizer());
  Series series;
  size_t chunks = 0;
  for (const std::vector<TokenId>& chunk : TextChunks(*tokenizer, text, flags.chunk, flags.max_tokens)) {
    if (chunk.size() < 2) break;
    HEARTH_RETURN_IF_ERROR(ScoreChunk(*session, chunk, series));
    ++chunks;
  }
  if (series.count() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(flags.text_path, ": too short, no token is predicted"));
  }
  const double perplexity = std::exp(series.mean());
  const double perplexity_error = perplexity * series.standard_error();
  if (flags.model.json) {
    return PrintJson({{"tokens", series.count()},
                      {"chunks", chunks},
                      {"chunk_tokens", flags.chunk},
                      {"nll", series.mean()},
                      {"nll_standard_error", series.standard_error()},
                      {"perplexity", perplexity},
                      {"perplexity_standard_error", perplexity_error}});
  }
  return Print(absl::StrFormat(
      "perplexity %.4f +- %.4f (%.5f +- %.5f nats per token, %d tokens in %d chunks of %d)\n", perplexity,
      perplexity_error, series.mean(), series.standard_error(), series.count(), chunks, flags.chunk));
}

}  // namespace

void AddPerplexity(CLI::App& app, Job& job) {
  auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* command = app.add_subcommand(
      "perplexity", "mean negative log likelihood of a text, each token given those before it in its chunk");
  AddModelFlags(*command, flags->model);
  command->add_option("--text", flags->text_path, "the text file")->required();
  AddWholeNumber(*command, "--chunk", flags->chunk,
                 "tokens that are evaluated together, start token included", 2u, 1u << 20);
  AddWholeNumber(*command, "--max-tokens", flags->max_tokens, "only the first tokens of the text; 0: all");
  command->callback([flags, &job] { job = [flags] { return Perplexity(*flags); }; });
}

}  // namespace hearth::model_tool
