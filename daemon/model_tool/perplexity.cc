#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/command_line/flags.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/session.h"
#include "engine/base/input_file.h"
#include "engine/base/status_macros.h"
#include "engine/sample/sampler.h"

namespace hearth::model_tool {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;

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
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadInputFile(flags.text_path, kMaxTextBytes));
  if (text.empty())
    return absl::InvalidArgumentError(absl::StrCat(flags.text_path, " is empty; give a file with text"));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(flags.model, flags.chunk));
  HEARTH_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, session->tokenizer());
  std::vector<TokenId> tokens = tokenizer->Encode(text, {.add_special = false, .parse_special = false});
  if (flags.max_tokens > 0 && tokens.size() > flags.max_tokens) tokens.resize(flags.max_tokens);
  // Every chunk begins as the vocabulary wants a text to begin.
  const std::vector<TokenId> empty = tokenizer->Encode("", {.add_special = true, .parse_special = false});
  const bool add_bos = !empty.empty() && empty.front() == tokenizer->bos();
  const size_t step = flags.chunk - (add_bos ? 1 : 0);

  Series series;
  size_t chunks = 0;
  std::vector<TokenId> chunk;
  for (size_t begin = 0; begin < tokens.size(); begin += step) {
    const size_t end = std::min(begin + step, tokens.size());
    chunk.clear();
    if (add_bos) chunk.push_back(tokenizer->bos());
    chunk.insert(chunk.end(), tokens.begin() + static_cast<ptrdiff_t>(begin),
                 tokens.begin() + static_cast<ptrdiff_t>(end));
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
