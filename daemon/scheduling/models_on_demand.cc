#include "daemon/scheduling/models_on_demand.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/split_name.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

// Who found a scheduler a moment ago may be about to use it.
constexpr absl::Duration kJustFound = absl::Seconds(5);
// How long a model has for finding the room that another has made.
constexpr absl::Duration kRoomIsTaken = absl::Seconds(5);

std::optional<ModelInfo> InfoOf(const ModelHost& host, const std::string& name) {
  for (ModelInfo& model : host.List()) {
    if (model.name == name) return std::move(model);
  }
  return std::nullopt;
}

}  // namespace

// Of a split model the first part stands for all.
std::map<std::string, std::string> ModelsOnDemand::Files() const {
  std::map<std::string, std::string> files;
  if (options_.host == nullptr) return files;
  std::error_code error;
  for (fs::directory_iterator it(options_.directory, error), end; !error && it != end; it.increment(error)) {
    const fs::path& path = it->path();
    std::error_code unreadable;
    if (path.extension() != ".gguf" || !it->is_regular_file(unreadable)) continue;
    const std::optional<SplitName> split = ParseSplitName(path.string());
    if (split && split->part != 1) continue;
    const std::string name = NameOfModelFile(path.string());
    if (!CheckName("model", name).ok() || files.size() >= kMostFiles) continue;
    files.emplace(name, path.string());
  }
  return files;
}

std::optional<std::pair<std::string, std::string>> ModelsOnDemand::FileFor(const std::string& name) const {
  const std::map<std::string, std::string> files = Files();
  if (name.empty()) return files.size() == 1 ? std::optional(*files.begin()) : std::nullopt;
  const auto file = files.find(name);
  return file == files.end() ? std::nullopt : std::optional(*file);
}

std::vector<std::string> ModelsOnDemand::Available() const {
  std::map<std::string, std::string> files = Files();
  if (!files.empty()) {
    for (const ModelInfo& model : options_.host->List()) files.erase(model.name);
  }
  std::vector<std::string> names;
  for (const auto& [name, path] : files) names.push_back(name);
  return names;
}

void ModelsOnDemand::Find(const std::string& name, absl::Time deadline, Found found) {
  absl::StatusOr<std::shared_ptr<Scheduler>> scheduler = schedulers_.Find(name);
  if (options_.host == nullptr) return found(std::move(scheduler));
  const absl::Time now = absl::Now();
  {
    MutexLock lock(&mutex_);
    std::string wanted = name;
    if (scheduler.ok()) {
      const auto loaded = loaded_.find((*scheduler)->model().name());
      if (loaded != loaded_.end()) loaded->second.used = now;
    } else if (!stopped_.ok()) {
      scheduler = stopped_;
    } else {
      const auto file = absl::IsNotFound(scheduler.status()) ? FileFor(name) : std::nullopt;
      if (file) wanted = file->first;
      if (file || loaded_.contains(wanted)) {
        if (waiting_.size() < kMostWaiting) {
          Result result = Try(wanted, now);
          if (!result) {
            waiting_.push_back({wanted, deadline, std::move(found)});
            return;
          }
          scheduler = *std::move(result);
        } else {
          scheduler = absl::ResourceExhaustedError(absl::StrCat(
              "the queue is full: ", kMostWaiting, " requests wait for models; try again later"));
        }
      }
    }
  }
  found(std::move(scheduler));
}

// What has become of a model that is waited for; nullopt: it is on its way.
ModelsOnDemand::Result ModelsOnDemand::Try(const std::string& name, absl::Time now) {
  absl::StatusOr<std::shared_ptr<Scheduler>> scheduler = schedulers_.Find(name);
  if (scheduler.ok()) {
    if (const auto loaded = loaded_.find(name); loaded != loaded_.end()) loaded->second.used = now;
    return scheduler;
  }
  const std::optional<ModelInfo> model = InfoOf(*options_.host, name);
  if (!model) {
    const auto file = FileFor(name);
    if (!file) return scheduler;
    const absl::Status begun = options_.host->Load({name, file->second}).status();
    if (!begun.ok()) return begun;
    spdlog::info("model {} is loaded, since somebody asks for it", name);
    loaded_[name].used = now;
    return std::nullopt;
  }
  if (model->state == ModelState::kFailed) return AfterFailure(*model, now);
  return std::nullopt;
}

// Makes room where that is what is missing: one model at a time, and each time the host looks again.
ModelsOnDemand::Result ModelsOnDemand::AfterFailure(const ModelInfo& model, absl::Time now) {
  const auto own = loaded_.find(model.name);
  if (own == loaded_.end()) return schedulers_.Find(model.name);
  if (absl::IsResourceExhausted(model.error)) {
    if (now - own->second.made_room < kRoomIsTaken) return std::nullopt;
    auto oldest = loaded_.end();
    for (auto it = loaded_.begin(); it != loaded_.end(); ++it) {
      if (it != own && (oldest == loaded_.end() || it->second.used < oldest->second.used)) oldest = it;
    }
    if (oldest != loaded_.end()) {
      if (now - oldest->second.used < kJustFound) return std::nullopt;  // all have requests
      spdlog::info("model {} makes room for model {}", oldest->first, model.name);
      own->second.made_room = now;
      if (options_.host->Unload(oldest->first).ok()) loaded_.erase(oldest);
      return std::nullopt;
    }
  }
  // Whoever asks next tries anew.
  const absl::StatusOr<std::shared_ptr<Scheduler>> failed = schedulers_.Find(model.name);
  options_.host->Unload(model.name).IgnoreError();
  loaded_.erase(own);
  return failed;
}

// Who has requests is in use.
void ModelsOnDemand::NoteUse(absl::Time now) {
  for (const std::shared_ptr<Scheduler>& scheduler : schedulers_.All()) {
    const auto loaded = loaded_.find(scheduler->model().name());
    if (loaded == loaded_.end()) continue;
    const Scheduler::Usage usage = scheduler->usage();
    if (usage.running + usage.waiting > 0) loaded->second.used = now;
  }
  for (const Waiting& waiting : waiting_) {
    const auto loaded = loaded_.find(waiting.name);
    if (loaded != loaded_.end()) loaded->second.used = now;
  }
}

void ModelsOnDemand::UnloadIdle(absl::Time now) {
  std::erase_if(loaded_, [&](const auto& entry) {
    const auto& [name, loaded] = entry;
    if (!InfoOf(*options_.host, name)) return true;  // somebody has unloaded it
    if (now - loaded.used < std::max(options_.idle, kJustFound)) return false;
    spdlog::info("model {} is unloaded: nobody has asked for it for {}", name,
                 absl::FormatDuration(options_.idle));
    return options_.host->Unload(name).ok();
  });
}

void ModelsOnDemand::Look(absl::Time now) {
  if (options_.host == nullptr) return;
  std::vector<std::pair<Found, absl::StatusOr<std::shared_ptr<Scheduler>>>> done;
  {
    MutexLock lock(&mutex_);
    NoteUse(now);
    std::map<std::string, Result> results;  // of each model once: all who wait for it hear the same
    std::vector<Waiting> still;
    for (Waiting& waiting : waiting_) {
      const auto [tried, first] = results.try_emplace(waiting.name);
      if (first) tried->second = Try(waiting.name, now);
      Result result = tried->second;
      if (!result && waiting.deadline <= now) {
        result = absl::DeadlineExceededError(
            absl::StrCat("model ", waiting.name, " was still being loaded at the request's deadline"));
      }
      if (result) {
        done.emplace_back(std::move(waiting.found), *std::move(result));
      } else {
        still.push_back(std::move(waiting));
      }
    }
    waiting_ = std::move(still);
    UnloadIdle(now);
  }
  for (auto& [found, scheduler] : done) found(std::move(scheduler));
}

void ModelsOnDemand::Stop(const absl::Status& reason) {
  std::vector<Waiting> waiting;
  {
    MutexLock lock(&mutex_);
    stopped_ = reason;
    waiting.swap(waiting_);
  }
  for (const Waiting& one : waiting) one.found(reason);
}

}  // namespace hearth
