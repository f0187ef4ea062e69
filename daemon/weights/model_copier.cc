#include "daemon/weights/model_copier.h"

#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "daemon/weights/model_file.h"
#include "engine/base/printable.h"
#include "engine/file/gguf.h"

namespace hearth {

ModelCopier::ModelCopier(std::unique_ptr<ModelFileSource> source, ModelCopies copies,
                         ModelCopierOptions options)
    : source_(std::move(source)), options_(options), copies_(std::move(copies)), thread_([this] { Run(); }) {}

ModelCopier::~ModelCopier() { Stop(); }

void ModelCopier::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  wake_.SignalAll();
  source_->Shutdown();
  if (thread_.joinable()) thread_.join();
}

void ModelCopier::Use(const SessionToken& token) {
  MutexLock lock(&mutex_);
  token_ = token;
  wake_.SignalAll();
}

void ModelCopier::Rest(bool rests) {
  MutexLock lock(&mutex_);
  rests_ = rests;
  wake_.SignalAll();
}

void ModelCopier::Run() {
  for (;;) {
    std::optional<SessionToken> token;
    {
      MutexLock lock(&mutex_);
      while (!stopped_ && (rests_ || !token_)) wake_.Wait(&mutex_);
      if (stopped_) return;
      token = token_;
    }
    Look(*token);
    Pause(options_.looks_apart).IgnoreError();  // above it is seen what has ended it
  }
}

void ModelCopier::Look(const SessionToken& token) {
  const absl::StatusOr<std::vector<ModelFiles>> models = source_->List(token);
  if (!models.ok()) return;  // the coordinator is away, or another one: whoever calls it says so
  for (const ModelFiles& model : *models) {
    if (copies_.Has(model)) continue;
    if (!Pause(absl::ZeroDuration()).ok()) return;
    absl::Status copied = Copy(model, token);
    if (absl::IsResourceExhausted(copied)) {
      copies_.KeepOnly(*models);
      copied = Copy(model, token);
    }
    if (copied.ok()) {
      NoteDigest(model);
      spdlog::info("has a copy of {}: it could serve the model", Printable(model.path));
    } else if (!absl::IsUnavailable(copied) && !absl::IsCancelled(copied)) {
      std::string why = Printable(copied.message());
      if (std::string& warned = warned_[model.path]; warned != why) {
        warned = std::move(why);
        spdlog::warn("this host could not serve {} if it came to lead: {}", Printable(model.path), warned);
      }
    }
  }
}

absl::Status ModelCopier::Copy(const ModelFiles& model, const SessionToken& token) {
  return copies_.Add(model, [&](const ModelFiles::Named& file, uint64_t offset, const auto& sink) {
    return source_->Fetch(token, model.digest, file.name, offset,
                          [&](absl::Span<const uint8_t> bytes) -> absl::Status {
                            if (absl::Status status = sink(bytes); !status.ok()) return status;
                            return Pause(absl::Seconds(1) * static_cast<double>(bytes.size()) /
                                         static_cast<double>(options_.bytes_per_second));
                          });
  });
}

// So that a host that comes to lead need not read the copy twice.
void ModelCopier::NoteDigest(const ModelFiles& model) const {
  if (options_.digests_dir.empty()) return;
  const auto copy = GgufFile::Open(copies_.Resolve(model.path));
  if (copy.ok()) KeepDigest(**copy, options_.digests_dir, model.digest);
}

absl::Status ModelCopier::Pause(absl::Duration duration) {
  const auto end = CondVar::Clock::now() + absl::ToChronoNanoseconds(duration);
  MutexLock lock(&mutex_);
  while (!stopped_ && !rests_ && wake_.WaitUntil(&mutex_, end)) {
  }
  return stopped_ || rests_ ? absl::CancelledError("nothing is copied now") : absl::OkStatus();
}

}  // namespace hearth
