#include "engine/device/async_device.h"

#include <atomic>
#include <thread>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/spin.h"
#include "engine/base/timeline.h"
#include "engine/kernel/fixed_point.h"

namespace hearth {

// Hands a request to the device's thread. The phase moves idle -> submitted -> done -> idle; request, sums
// and status belong to the caller while idle, to the thread while submitted, to the caller again when done.
struct AsyncDevice::Slot {
  enum Phase : int { kIdle, kSubmitted, kDone, kStop };

  std::atomic<int> phase{kIdle};
  Request request;
  Timeline* timeline = nullptr;  // of who asks
  std::vector<int64_t> sums;
  absl::Status status;

  // Waits until the phase differs from `current` and returns it. Spins for some microseconds first: the next
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

struct AsyncDevice::Worker {
  std::thread thread;
};

AsyncDevice::AsyncDevice(std::unique_ptr<Device> device)
    : device_(std::move(device)), slots_(new Slot[kMaxInFlight]), worker_(std::make_unique<Worker>()) {
  worker_->thread = std::thread([this] { Work(); });
}

AsyncDevice::~AsyncDevice() {
  // The thread waits at the slot that comes next; what is in flight is computed first.
  SlotOf(submitted_ + 1).Set(Slot::kStop);
  worker_->thread.join();
}

AsyncDevice::Slot& AsyncDevice::SlotOf(Ticket ticket) { return slots_[ticket % kMaxInFlight]; }

const std::string& AsyncDevice::name() const { return device_->name(); }
bool AsyncDevice::Holds(enum Work work, uint32_t layer) const { return device_->Holds(work, layer); }

Ticket AsyncDevice::Submit(const Request& request) {
  Slot& slot = SlotOf(++submitted_);
  HEARTH_CHECK(slot.phase.load(std::memory_order_relaxed) == Slot::kIdle);
  slot.request = request;
  slot.timeline = Timeline::Current();
  slot.Set(Slot::kSubmitted);
  return submitted_;
}

absl::Status AsyncDevice::Collect(Ticket ticket, absl::Span<int64_t> sums) {
  Slot& slot = SlotOf(ticket);
  slot.AwaitOtherThan(Slot::kSubmitted);
  slot.phase.store(Slot::kIdle, std::memory_order_relaxed);
  if (!slot.status.ok()) return slot.status;
  HEARTH_CHECK(slot.sums.size() == sums.size());
  for (size_t i = 0; i < sums.size(); ++i) sums[i] = AddFixedPoint(sums[i], slot.sums[i]);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> AsyncDevice::ReadKv(const KvRange& range) {
  return device_->ReadKv(range);
}

absl::Status AsyncDevice::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  return device_->WriteKv(range, bytes);
}

DeviceCounters AsyncDevice::counters() const { return device_->counters(); }

void AsyncDevice::Work() {
  for (Ticket next = 1;; ++next) {
    Slot& slot = SlotOf(next);
    // Until the caller has collected what was in this slot before, and submitted anew.
    int phase = slot.phase.load(std::memory_order_acquire);
    while (phase == Slot::kDone || phase == Slot::kIdle) phase = slot.AwaitOtherThan(phase);
    if (phase == Slot::kStop) return;
    Compute(slot);
    slot.Set(Slot::kDone);
  }
}

void AsyncDevice::Compute(Slot& slot) {
  slot.sums.assign(SumsOf(slot.request), 0);
  const Timeline::Scope scope(slot.timeline);
  const Timeline::Span span(Timeline::Kind::kComputed, name(),
                            [&] { return WorkText(WorkOf(slot.request), LayerOf(slot.request)); });
  slot.status = device_->Collect(device_->Submit(slot.request), absl::MakeSpan(slot.sums));
}

}  // namespace hearth
