#include "engine/neuron/async_device.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "engine/base/check.h"
#include "engine/base/spin.h"
#include "engine/kernel/fixed_point.h"

namespace hearth {

// Hands one request at a time to the device's thread. The phase moves idle -> submitted -> done -> idle;
// request, sums and status belong to the caller while idle, to the thread while submitted, to the caller
// again when done.
struct AsyncDevice::Mailbox {
  enum Phase : int { kIdle, kSubmitted, kDone, kStop };

  std::atomic<int> phase{kIdle};
  FfnRequest request;
  std::vector<int64_t> sums;
  absl::Status status;
  absl::Mutex counters_mutex;
  FfnCounters counters ABSL_GUARDED_BY(counters_mutex);
  std::thread thread;

  // Waits until the phase differs from `phase` and returns it. Spins for some microseconds first: the next
  // layer's request usually follows at once, and waking a thread costs more than that.
  int AwaitOtherThan(int current) {
    for (int spin = 0; spin < 2000; ++spin) {
      if (const int now = phase.load(std::memory_order_acquire); now != current) return now;
      CpuRelax();
    }
    phase.wait(current, std::memory_order_acquire);
    return phase.load(std::memory_order_acquire);
  }

  void Set(Phase next) {
    phase.store(next, std::memory_order_release);
    phase.notify_all();
  }
};

AsyncDevice::AsyncDevice(std::unique_ptr<FfnDevice> device)
    : device_(std::move(device)), mailbox_(std::make_unique<Mailbox>()) {
  mailbox_->thread = std::thread([this] { Work(); });
}

AsyncDevice::~AsyncDevice() {
  mailbox_->Set(Mailbox::kStop);
  mailbox_->thread.join();
}

const std::string& AsyncDevice::name() const { return device_->name(); }
bool AsyncDevice::HoldsLayer(uint32_t layer) const { return device_->HoldsLayer(layer); }

absl::Status AsyncDevice::Submit(const FfnRequest& request) {
  HEARTH_CHECK(mailbox_->phase.load(std::memory_order_relaxed) == Mailbox::kIdle);
  mailbox_->request = request;
  mailbox_->Set(Mailbox::kSubmitted);
  return absl::OkStatus();
}

absl::Status AsyncDevice::Collect(absl::Span<int64_t> sums) {
  mailbox_->AwaitOtherThan(Mailbox::kSubmitted);
  mailbox_->phase.store(Mailbox::kIdle, std::memory_order_relaxed);
  if (!mailbox_->status.ok()) return mailbox_->status;
  HEARTH_CHECK(mailbox_->sums.size() == sums.size());
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = AddFixedPoint(sums[i], mailbox_->sums[i]);
  return absl::OkStatus();
}

FfnCounters AsyncDevice::counters() const {
  absl::MutexLock lock(&mailbox_->counters_mutex);
  return mailbox_->counters;
}

void AsyncDevice::Work() {
  int seen = Mailbox::kIdle;
  while ((seen = mailbox_->AwaitOtherThan(seen)) != Mailbox::kStop) {
    if (seen != Mailbox::kSubmitted) continue;
    ComputeSubmitted();
    // A stop that came meanwhile must stay.
    int expected = Mailbox::kSubmitted;
    if (mailbox_->phase.compare_exchange_strong(expected, Mailbox::kDone, std::memory_order_acq_rel)) {
      mailbox_->phase.notify_all();
    }
    seen = Mailbox::kDone;
  }
}

void AsyncDevice::ComputeSubmitted() {
  mailbox_->sums.assign(mailbox_->request.rows * mailbox_->request.output_values, 0);
  mailbox_->status = device_->Submit(mailbox_->request);
  if (mailbox_->status.ok()) mailbox_->status = device_->Collect(absl::MakeSpan(mailbox_->sums));
  absl::MutexLock lock(&mailbox_->counters_mutex);
  mailbox_->counters = device_->counters();
}

}  // namespace hearth
