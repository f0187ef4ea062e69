#ifndef HEARTH_DAEMON_SCHEDULING_GENERATION_METRICS_H_
#define HEARTH_DAEMON_SCHEDULING_GENERATION_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/steps/scheduler_core.h"
#include "engine/base/mutex.h"

namespace hearth {

// Counts what happens to the requests of every model while it is loaded, for /metrics. Thread-safe.
class GenerationMetrics {
  struct Series;

 public:
  GenerationMetrics();
  ~GenerationMetrics();

  // The figures of one model. Cheap to use from a scheduler's thread; must not outlive the GenerationMetrics.
  class OfModel {
   public:
    OfModel(const OfModel&) = delete;
    OfModel& operator=(const OfModel&) = delete;
    ~OfModel();

    // A request was refused since the queue was full.
    void Refused();
    // A request got its slot.
    void Started(uint32_t prompt_tokens, uint32_t cached_tokens, absl::Duration queued);
    void FirstToken(absl::Duration since_arrival);
    void NextToken(absl::Duration since_the_last);
    // One of the two is the end of every request that was not refused.
    void Finished(EndReason reason);
    void Failed(const absl::Status& status);
    // A step was computed; `reads`: prompts as well as tokens that are generated.
    void Step(bool reads, absl::Duration took);

    uint64_t generated_tokens() const;

   private:
    friend class GenerationMetrics;
    OfModel(GenerationMetrics& all, const std::string& model);

    GenerationMetrics& all_;
    const std::string model_;
    Series& series_;
  };
  // Models of one name share their figures, which are forgotten with the last OfModel of that name.
  OfModel Of(const std::string& model) { return OfModel(*this, model); }

  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

 private:
  Series& Take(const std::string& model);
  void GiveBack(const std::string& model);

  const std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Counter>& prompt_tokens_;
  prometheus::Family<prometheus::Counter>& cached_tokens_;
  prometheus::Family<prometheus::Counter>& generated_tokens_;
  prometheus::Family<prometheus::Histogram>& queued_;
  prometheus::Family<prometheus::Histogram>& first_token_;
  prometheus::Family<prometheus::Histogram>& between_tokens_;
  prometheus::Family<prometheus::Histogram>& steps_;

  Mutex mutex_;
  std::map<std::string, std::unique_ptr<Series>> series_ ABSL_GUARDED_BY(mutex_);  // by model
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_GENERATION_METRICS_H_
