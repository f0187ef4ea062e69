#ifndef HEARTH_DAEMON_MODEL_TOOL_SESSION_H_
#define HEARTH_DAEMON_MODEL_TOOL_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/model_tool/model_flags.h"
#include "engine/base/thread_pool.h"
#include "engine/device/host_share.h"
#include "engine/file/gguf.h"
#include "engine/model/decoder.h"
#include "engine/model/model.h"
#include "engine/token/tokenizer.h"

namespace hearth::model_tool {

// The mode that --sparsity names; where it is empty the file's own, by options.profile (or null).
absl::StatusOr<SparsityMode> ChooseSparsity(const std::string& name, const GgufFile& file,
                                            const ModelOptions& options);

// A model loaded and ready to compute on the devices of this machine. One sequence unless opened with more.
class Session {
 public:
  // Opens flags.path and loads the weights. `positions`: what the command needs per sequence; OUT_OF_RANGE
  // when that exceeds --context.
  static absl::StatusOr<std::unique_ptr<Session>> Open(const ModelFlags& flags, uint64_t positions,
                                                       uint32_t sequences = 1);

  // The tokenizer of the file; an error where it has none that Hearth knows (ids need none).
  absl::StatusOr<const Tokenizer*> tokenizer();

  // Appends tokens to sequence 0, in steps of at most max_rows rows, and hands each row's logits (vocab) to
  // `on_logits` together with its index in `tokens`: those of every token, or of the last one only. The
  // logits are scratch.
  // `prompt` says that the tokens are one (see BatchRow); else they count as generated.
  using OnLogits = std::function<absl::Status(size_t index, absl::Span<float> logits)>;
  absl::Status Append(absl::Span<const TokenId> tokens, bool every_token, const OnLogits& on_logits,
                      bool prompt = false);

  // Forgets sequence 0.
  absl::Status Clear();

  // What the session is made of.
  const GgufFile& file() const { return *file_; }
  const Model& model() const { return *model_; }
  Decoder& decoder() { return *decoder_; }
  ThreadPool& pool() { return *pool_; }
  int threads() const { return threads_; }
  uint32_t vocab_size() const { return model_->spec().n_vocab; }
  uint32_t context() const { return decoder_->options().context_length; }

  // Borrowed; what the decoder computes with.
  const std::vector<Device*>& devices() const { return share_->devices(); }

  // Weight and KV bytes that leader and devices have read so far.
  uint64_t bytes_touched() const;
  // Neurons computed, and held, by each device in each layer so far.
  std::vector<DeviceCounters> device_counters() const;
  std::vector<std::string> device_names() const;

 private:
  Session() = default;

  absl::Status MakeDevices(const ModelFlags& flags, const DecoderOptions& options);

  std::shared_ptr<const GgufFile> file_;
  int threads_ = 0;
  std::unique_ptr<ThreadPool> pool_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<HostDevices> devices_;
  std::unique_ptr<HostShare> share_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<BatchRow> rows_;
  std::vector<float> logits_;
};

}  // namespace hearth::model_tool

#endif  // HEARTH_DAEMON_MODEL_TOOL_SESSION_H_
