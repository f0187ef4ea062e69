#ifndef HEARTH_TESTS_DAEMON_SERVING_FAKES_H_
#define HEARTH_TESTS_DAEMON_SERVING_FAKES_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/cluster_view.h"
#include "daemon/model_host.h"
#include "engine/base/check.h"

namespace hearth {

// One token per byte, ids 256 (BOS, added to the front) and 257 (EOS).
class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr TokenId kBos = 256;
  static constexpr TokenId kEos = 257;

  std::vector<TokenId> Encode(std::string_view text, EncodeOptions options) const override {
    std::vector<TokenId> ids;
    if (options.add_special) ids.push_back(kBos);
    for (unsigned char byte : text) ids.push_back(byte);
    return ids;
  }
  std::string Decode(absl::Span<const TokenId> ids, DecodeOptions options) const override {
    std::string text;
    for (TokenId id : ids) text += TokenBytes(id, options.unparse_special);
    return text;
  }
  int32_t vocab_size() const override { return 258; }
  std::string_view TokenText(TokenId id) const override {
    return id == kBos ? "<s>" : id == kEos ? "</s>" : "";
  }
  std::string TokenBytes(TokenId id, bool special) const override {
    if (id >= 0 && id < 256) return std::string(1, static_cast<char>(id));
    return special ? std::string(TokenText(id)) : "";
  }
  bool IsControl(TokenId id) const override { return id >= 256; }
  bool IsEndOfGeneration(TokenId id) const override { return id == kEos; }
  const std::vector<TokenId>& end_of_generation() const override { return ends_; }
  TokenId bos() const override { return kBos; }
  TokenId eos() const override { return kEos; }
  std::string description() const override { return "bytes"; }

 private:
  const std::vector<TokenId> ends_ = {kEos};
};

// Repeats `script` for ever: the token after position p of any sequence is script[p % length]. The state of
// token t at position p is (t, p, 1, 0). Refuses rows that break the decoder's contract.
class ScriptedDecoder final : public Decoder {
 public:
  static constexpr uint32_t kStateValues = 4;

  explicit ScriptedDecoder(DecoderOptions options, std::vector<TokenId> script)
      : options_(options), script_(std::move(script)), lengths_(options.sequences) {}

  void SetDevices(std::vector<Device*>) override {}
  void SetStages(std::vector<StagePart>) override {}

  absl::Status Step(absl::Span<const BatchRow> rows, absl::Span<float> logits) override {
    ++steps_;
    if (rows.size() > options_.max_rows) return absl::InvalidArgumentError("too many rows");
    if (before_step_) {
      if (absl::Status status = before_step_(rows); !status.ok()) return status;
    }
    float* out = logits.data();
    states_.clear();
    for (const BatchRow& row : rows) {
      if (row.sequence >= lengths_.size() || row.position != lengths_[row.sequence]) {
        return absl::InvalidArgumentError(
            absl::StrCat("bad row: sequence ", row.sequence, " position ", row.position));
      }
      if (row.position >= options_.context_length) return absl::InvalidArgumentError("beyond the context");
      ++lengths_[row.sequence];
      if (row.want_state) {
        states_.insert(states_.end(),
                       {static_cast<float>(row.token), static_cast<float>(row.position), 1.0f, 0.0f});
        if (row.position == damaged_position_) states_.back() = std::numeric_limits<float>::quiet_NaN();
      }
      if (!row.want_logits) continue;
      HEARTH_CHECK(out + kVocab <= logits.data() + logits.size());
      std::fill(out, out + kVocab, 0.0f);
      out[script_[row.position % script_.size()]] = 10.0f;
      if (row.position == damaged_position_) out[0] = std::numeric_limits<float>::quiet_NaN();
      out += kVocab;
    }
    return absl::OkStatus();
  }
  absl::Span<const float> states() const override { return states_; }
  absl::Status Truncate(uint32_t sequence, uint32_t length) override {
    lengths_.at(sequence) = std::min<uint32_t>(lengths_.at(sequence), length);
    return absl::OkStatus();
  }
  uint32_t SequenceLength(uint32_t sequence) const override { return lengths_.at(sequence); }
  const Model& model() const override { HEARTH_CHECK(false); }
  const DecoderOptions& options() const override { return options_; }
  uint64_t kv_bytes() const override { return 0; }
  uint64_t bytes_touched() const override { return 0; }

  // Called at each step by the scheduler's thread; set before the first request.
  void set_before_step(std::function<absl::Status(absl::Span<const BatchRow>)> hook) {
    before_step_ = std::move(hook);
  }
  // The logits and the state of this position have a value that is no number; set before the first request.
  void set_damaged_position(uint32_t position) { damaged_position_ = position; }
  int steps() const { return steps_; }

 private:
  static constexpr int kVocab = 258;
  const DecoderOptions options_;
  const std::vector<TokenId> script_;
  std::vector<uint32_t> lengths_;
  std::vector<float> states_;
  std::function<absl::Status(absl::Span<const BatchRow>)> before_step_;
  std::optional<uint32_t> damaged_position_;
  std::atomic<int> steps_ = 0;
};

inline std::vector<TokenId> Bytes(std::string_view text) {
  return ByteTokenizer().Encode(text, {.add_special = false});
}

class FakeModel final : public ServedModel {
 public:
  static DecoderOptions SmallOptions() {
    DecoderOptions options;
    options.sequences = 4;
    options.context_length = 1000;
    return options;
  }
  explicit FakeModel(std::vector<TokenId> script = Bytes("abcdefghij"),
                     DecoderOptions options = SmallOptions(), std::string name = "fake")
      : name_(std::move(name)), decoder_(options, std::move(script)) {}

  const std::string& name() const override { return name_; }
  const std::string& digest() const override { return digest_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  const ChatTemplates& chat() const override { return chat_; }
  ScriptedDecoder& decoder() override { return decoder_; }
  EmbeddingTraits embeddings() override { return embeddings_; }
  ReuseRules reuse() const override { return reuse_; }
  std::shared_ptr<ServedModel> draft() const override { return draft_; }
  absl::Status PrepareStep() override {
    if (before_prepare_) before_prepare_();
    std::lock_guard lock(mutex_);
    return ready_;
  }
  bool PlanIsOnItsWay() const override { return plan_is_on_its_way_; }
  void AwaitReady(int timeout_ms) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return ready_.ok(); });
  }
  void ReportLostDevice(const absl::Status& status) override {
    std::lock_guard lock(mutex_);
    reported_ = status;
  }

  // What its file has as its chat template; set before the first request.
  void SetChatTemplate(std::string source) {
    GgufMetadata metadata;
    metadata.Set("tokenizer.chat_template", std::move(source));
    chat_ = ChatTemplates::FromMetadata(metadata, tokenizer_);
  }
  // What its file says of embeddings; set before the first request.
  void set_pooling(Pooling pooling) { embeddings_.pooling = pooling; }
  // Set before the first request.
  void set_reuse(const ReuseRules& reuse) { reuse_ = reuse; }
  void set_draft(std::shared_ptr<FakeModel> draft) { draft_ = std::move(draft); }
  void set_whole_texts() { embeddings_.whole_texts = true; }
  // Called at each PrepareStep by the scheduler's thread; set before the first request.
  void set_before_prepare(std::function<void()> hook) { before_prepare_ = std::move(hook); }
  void set_plan_is_on_its_way(bool is) { plan_is_on_its_way_ = is; }
  void SetReady(absl::Status status) {
    std::lock_guard lock(mutex_);
    ready_ = std::move(status);
    changed_.notify_all();
  }
  void NotePromptStep(uint32_t rows, absl::Duration) override {
    std::lock_guard lock(mutex_);
    prompt_steps_.push_back(rows);
  }
  std::vector<uint32_t> prompt_steps() {
    std::lock_guard lock(mutex_);
    return prompt_steps_;
  }
  absl::Status reported() {
    std::lock_guard lock(mutex_);
    return reported_;
  }

 private:
  const std::string name_;
  const std::string digest_ = "sha256:00ff";
  const ByteTokenizer tokenizer_;
  ChatTemplates chat_;
  ScriptedDecoder decoder_;
  EmbeddingTraits embeddings_{ScriptedDecoder::kStateValues, std::nullopt, false};
  ReuseRules reuse_;
  std::shared_ptr<FakeModel> draft_;
  std::function<void()> before_prepare_;
  std::atomic<bool> plan_is_on_its_way_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status ready_;
  absl::Status reported_;
  std::vector<uint32_t> prompt_steps_;
};

// A host of models that tests put in and change by hand.
class FakeModelHost final : public ModelHost {
 public:
  absl::StatusOr<std::string> Load(const ModelSource& source) override {
    const auto& [name, path, objective, draft, adapters] = source;
    if (path == "/missing.gguf") return absl::NotFoundError("there is no file /missing.gguf");
    ModelInfo info;
    info.name = name.empty() ? "loaded" : name;
    info.path = path;
    info.objective = objective.value_or(placement::Objective{});
    info.draft = draft;
    info.detail = "reading weights";
    info.bytes_total = 100;
    Update(info);
    return info.name;
  }
  absl::Status Unload(const std::string& name) override {
    {
      std::lock_guard lock(mutex_);
      if (infos_.erase(name) == 0) return absl::NotFoundError("no model is called '" + name + "'");
      models_.erase(name);
    }
    Notify();
    return absl::OkStatus();
  }
  std::vector<ModelInfo> List() const override {
    std::lock_guard lock(mutex_);
    std::vector<ModelInfo> result;
    for (const auto& [name, info] : infos_) result.push_back(info);
    return result;
  }
  absl::StatusOr<std::shared_ptr<ServedModel>> Find(const std::string& name) const override {
    std::lock_guard lock(mutex_);
    if (name.empty() && models_.size() == 1) return models_.begin()->second;
    const auto found = models_.find(name);
    if (found == models_.end()) return absl::NotFoundError("no model is called '" + name + "'");
    return found->second;
  }
  void SetListener(std::function<void()> listener) override {
    std::lock_guard lock(listener_mutex_);
    listener_ = std::move(listener);
  }

  void Add(std::shared_ptr<FakeModel> model) {
    ModelInfo info;
    info.name = model->name();
    info.digest = model->digest();
    info.state = ModelState::kReady;
    {
      std::lock_guard lock(mutex_);
      models_[model->name()] = model;
    }
    Update(info);
  }
  void Update(const ModelInfo& info) {
    {
      std::lock_guard lock(mutex_);
      infos_[info.name] = info;
    }
    Notify();
  }

 private:
  void Notify() {
    std::lock_guard lock(listener_mutex_);
    if (listener_) listener_();
  }

  mutable std::mutex mutex_;
  std::map<std::string, ModelInfo> infos_;
  std::map<std::string, std::shared_ptr<ServedModel>> models_;
  std::mutex listener_mutex_;
  std::function<void()> listener_;
};

class FakeCluster final : public ClusterView {
 public:
  ClusterSnapshot Snapshot() const override {
    std::lock_guard lock(mutex_);
    return snapshot_;
  }
  // As many tokens per second as layers; ten are too many.
  absl::StatusOr<ExpectedPlan> Expect(const ModelFigures& figures) const override {
    if (figures.layers >= 10) return absl::ResourceExhaustedError("3 GiB are missing");
    return ExpectedPlan{.tokens_per_second = static_cast<double>(figures.layers),
                        .weight_bytes = figures.vocabulary,
                        .context_length = figures.context,
                        .hosts = {figures.architecture, figures.weights},
                        .others_give_way = figures.relu};
  }
  void SetListener(std::function<void()> listener) override {
    std::lock_guard lock(listener_mutex_);
    listener_ = std::move(listener);
  }
  void Set(ClusterSnapshot snapshot) {
    {
      std::lock_guard lock(mutex_);
      snapshot_ = std::move(snapshot);
    }
    std::lock_guard lock(listener_mutex_);
    if (listener_) listener_();
  }

 private:
  mutable std::mutex mutex_;
  ClusterSnapshot snapshot_;
  std::mutex listener_mutex_;
  std::function<void()> listener_;
};

// Holds a thread of the code under test at a place until the test lets it go on.
class Gate {
 public:
  // The code under test: waits while the gate is shut.
  void Pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  // The test: waits until somebody stands at the gate.
  void AwaitArrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_ > 0; });
  }
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_SERVING_FAKES_H_
