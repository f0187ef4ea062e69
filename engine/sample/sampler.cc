#include "engine/sample/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

// e^x for x <= 0 from basic arithmetic alone. std::exp differs in the last bit between machines, which would
// now and then turn a draw into another token.
double Exp(double x) {
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kLn2High =
      0x1.62e42fefa38p-1;  // few enough bits that products with the exponent are exact
  constexpr double kLn2Low = 0x1.ef35793c7673p-45;
  if (!(x > -700.0)) return 0.0;
  const double exponent = std::floor(x * kLog2E + 0.5);
  const double r = (x - exponent * kLn2High) - exponent * kLn2Low;  // |r| <= ln(2) / 2
  double sum = 1.0;
  for (int n = 14; n > 0; --n) sum = 1.0 + sum * r / n;
  return std::ldexp(sum, static_cast<int>(exponent));
}

// The next number of a SplitMix64 sequence (Steele, Lea, Flood 2014).
uint64_t NextRandom(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Uniform in [0, 1), a multiple of 2^-53.
double NextUniform(uint64_t& state) { return static_cast<double>(NextRandom(state) >> 11) * 0x1p-53; }

float NanToNegativeInfinity(float logit) { return std::isnan(logit) ? kNegativeInfinity : logit; }

// A total order: larger logits first, then lower ids.
struct LargerLogit {
  absl::Span<const float> logits;
  bool operator()(int32_t a, int32_t b) const {
    const float x = NanToNegativeInfinity(logits[static_cast<size_t>(a)]);
    const float y = NanToNegativeInfinity(logits[static_cast<size_t>(b)]);
    return x != y ? x > y : a < b;
  }
};

// Keeps the `count` largest of `ids`, sorted.
void KeepLargest(absl::Span<const float> logits, size_t count, std::vector<int32_t>& ids) {
  count = std::min(count, ids.size());
  const auto middle = ids.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(ids.begin(), middle, ids.end(), LargerLogit{logits});
  ids.resize(count);
}

absl::Status Require(bool holds, const char* option, const char* range) {
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(option, " must be ", range));
}

absl::Status ValidateBias(const std::vector<std::pair<int32_t, float>>& biases, int32_t vocab_size) {
  std::vector<bool> seen(biases.empty() ? 0 : static_cast<size_t>(vocab_size));
  int32_t forbidden = 0;
  for (const auto& [token, bias] : biases) {
    const auto refused = [id = token](const auto&... why) {
      return absl::InvalidArgumentError(absl::StrCat("logit_bias: token ", id, " ", why...));
    };
    if (token < 0 || token >= vocab_size)
      return refused("is outside the vocabulary of 0 to ", vocab_size - 1);
    if (seen[static_cast<size_t>(token)]) return refused("is there twice");
    if (!std::isfinite(bias) && bias != kNegativeInfinity)
      return refused("has the bias ", bias, "; a finite number or -infinity is allowed");
    seen[static_cast<size_t>(token)] = true;
    forbidden += bias == kNegativeInfinity ? 1 : 0;
  }
  if (forbidden < vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError("logit_bias: every token is forbidden; leave at least one");
}

absl::Status Validate(const SamplingOptions& o, int32_t vocab_size) {
  absl::Status status = Require(vocab_size > 0, "the vocabulary size", "positive");
  status.Update(
      Require(std::isfinite(o.temperature) && o.temperature >= 0, "temperature", "a finite number >= 0"));
  status.Update(Require(o.top_p > 0 && o.top_p <= 1, "top_p", "above 0 and at most 1"));
  status.Update(Require(o.min_p >= 0 && o.min_p <= 1, "min_p", "from 0 to 1"));
  status.Update(Require(std::isfinite(o.repetition_penalty) && o.repetition_penalty > 0, "repetition_penalty",
                        "a finite number > 0"));
  status.Update(Require(std::isfinite(o.frequency_penalty), "frequency_penalty", "a finite number"));
  status.Update(Require(std::isfinite(o.presence_penalty), "presence_penalty", "a finite number"));
  if (status.ok()) status = ValidateBias(o.logit_bias, vocab_size);
  return status;
}

// log(sum of e^logit), with the largest logit; -infinity when all are.
double LogSumExp(absl::Span<const float> logits) {
  float largest = kNegativeInfinity;
  for (const float logit : logits) largest = std::max(largest, NanToNegativeInfinity(logit));
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const float logit : logits) sum += Exp(static_cast<double>(NanToNegativeInfinity(logit)) - largest);
  return largest + std::log(sum);
}

float Logprob(absl::Span<const float> logits, double log_sum, int32_t token) {
  const float logit = NanToNegativeInfinity(logits[static_cast<size_t>(token)]);
  return logit == kNegativeInfinity ? kNegativeInfinity : static_cast<float>(logit - log_sum);
}

}  // namespace

absl::StatusOr<Sampler> Sampler::Create(SamplingOptions options, int32_t vocab_size) {
  if (absl::Status status = Validate(options, vocab_size); !status.ok()) return status;
  return Sampler(std::move(options), vocab_size);
}

Sampler::Sampler(SamplingOptions options, int32_t vocab_size)
    : options_(std::move(options)), vocab_size_(vocab_size), random_state_(options_.seed) {}

void Sampler::Accept(int32_t token) {
  if (token < 0 || token >= vocab_size_) return;
  ++counts_[token];
  if (options_.penalty_window == 0) return;
  window_.push_back(token);
  if (window_.size() <= options_.penalty_window) return;
  const auto oldest = counts_.find(window_.front());
  if (--oldest->second == 0) counts_.erase(oldest);
  window_.pop_front();
}

void Sampler::Repeat(int32_t token) {
  if (options_.temperature > 0) NextUniform(random_state_);
  Accept(token);
}

int32_t Sampler::Sample(absl::Span<float> logits) {
  HEARTH_CHECK(logits.size() == static_cast<size_t>(vocab_size_));
  ApplyBiasAndPenalties(logits);
  int32_t best = 0;
  for (int32_t token = 0; token < vocab_size_; ++token) {
    float& logit = logits[static_cast<size_t>(token)];
    // Finite above, so that differences of logits are numbers.
    logit = std::min(NanToNegativeInfinity(logit), std::numeric_limits<float>::max());
    if (logit > logits[static_cast<size_t>(best)]) best = token;
  }
  const float largest = logits[static_cast<size_t>(best)];
  if (options_.temperature == 0 || largest == kNegativeInfinity) return best;
  SelectCandidates(logits, largest);
  return Draw(logits, largest);
}

void Sampler::ApplyBiasAndPenalties(absl::Span<float> logits) const {
  for (const auto& [token, bias] : options_.logit_bias) logits[static_cast<size_t>(token)] += bias;
  for (const auto& [token, count] : counts_) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
    logit -= static_cast<float>(count) * options_.frequency_penalty + options_.presence_penalty;
  }
}

// Top-k, top-p and min-p each keep a beginning of the list of tokens sorted by logit, and min-p compares with
// the largest alone; so the three can be applied in the order that leaves least to sort.
void Sampler::SelectCandidates(absl::Span<const float> logits, float largest) {
  const auto weight = [&](int32_t token) {
    return Exp(static_cast<double>(logits[static_cast<size_t>(token)]) - largest);
  };
  candidates_.resize(static_cast<size_t>(vocab_size_));
  std::iota(candidates_.begin(), candidates_.end(), 0);
  if (options_.top_k > 0) KeepLargest(logits, options_.top_k, candidates_);
  double mass = 0;
  size_t likely = 0;
  for (const int32_t token : candidates_) {
    const double w = weight(token);
    mass += w;
    if (w > 0 && w >= options_.min_p) candidates_[likely++] = token;
  }
  candidates_.resize(likely);
  if (options_.top_p >= 1) return;
  std::sort(candidates_.begin(), candidates_.end(), LargerLogit{logits});
  double kept = 0;
  size_t count = 0;
  while (count < candidates_.size() && kept < options_.top_p * mass) kept += weight(candidates_[count++]);
  candidates_.resize(count);
}

int32_t Sampler::Draw(absl::Span<const float> logits, float largest) {
  const auto weight = [&](int32_t token) {
    const double difference = static_cast<double>(logits[static_cast<size_t>(token)]) - largest;
    return Exp(difference / options_.temperature);
  };
  double mass = 0;
  for (const int32_t token : candidates_) mass += weight(token);
  double rest = NextUniform(random_state_) * mass;
  int32_t chosen = candidates_.front();
  for (const int32_t token : candidates_) {
    const double w = weight(token);
    if (w == 0) continue;
    chosen = token;
    rest -= w;
    if (rest < 0) break;
  }
  return chosen;
}

uint64_t RandomSeed() {
  std::random_device entropy;
  return static_cast<uint64_t>(entropy()) << 32 | entropy();
}

absl::Status CheckLogits(absl::Span<const float> logits) {
  constexpr uint32_t kExponent = 0x7f800000;  // all ones in what is not finite
  bool finite = true;
  for (const float logit : logits) finite &= (std::bit_cast<uint32_t>(logit) & kExponent) != kExponent;
  if (finite) return absl::OkStatus();
  return absl::DataLossError(
      "the model's result is no number (NaN or infinite): its file or a worker's weights are damaged; check "
      "the "
      "file and load it again");
}

std::vector<TokenLogprob> TopLogprobs(absl::Span<const float> logits, uint32_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  KeepLargest(logits, count, ids);
  const double log_sum = LogSumExp(logits);
  std::vector<TokenLogprob> top;
  top.reserve(ids.size());
  for (const int32_t token : ids) top.push_back({token, Logprob(logits, log_sum, token)});
  return top;
}

float LogprobOf(absl::Span<const float> logits, int32_t token) {
  HEARTH_CHECK(token >= 0 && static_cast<size_t>(token) < logits.size());
  return Logprob(logits, LogSumExp(logits), token);
}

}  // namespace hearth
