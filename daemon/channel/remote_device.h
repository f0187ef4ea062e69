#ifndef HEARTH_DAEMON_CHANNEL_REMOTE_DEVICE_H_
#define HEARTH_DAEMON_CHANNEL_REMOTE_DEVICE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/channel/frame.h"
#include "daemon/channel/frame_sender.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/patience.h"
#include "daemon/channel/wire_input.h"
#include "daemon/channel/wire_sums.h"
#include "daemon/weights/session_token.h"
#include "engine/base/mutex.h"
#include "engine/device/device.h"
#include "engine/model/stage.h"

namespace hearth {

// By what a worker's tensor channel is known: the home's TLS and the host's id. Without a context the channel
// is plain.
struct TensorTls {
  TlsContext context;
  HostId host;
};

// Connects to a worker's tensor channel and says hello; epoch 0 opens a connection that only measures.
// `cache_ids` is as long as the worker has head groups under the plan, and gets what it knows their caches
// by. UNAVAILABLE with the address and the reason, also where another host than `tls` names answers.
absl::StatusOr<std::unique_ptr<FrameSocket>> OpenTensorConnection(const std::string& address,
                                                                  const SessionToken& token, uint64_t epoch,
                                                                  FrameSocket::Clock::time_point deadline,
                                                                  absl::Span<uint64_t> cache_ids = {},
                                                                  const TensorTls& tls = {});

// A worker's share of a plan as a device, and its stage as a stage, of its leader: Submit sends a request to
// the worker and does not wait for it, Collect waits for the answer. Once a message has failed the device
// stays lost. The worker's own counters of neurons come with its state (worker.proto); this class counts
// round trips, waiting and the network's bytes.
class RemoteDevice : public Device, public RemoteStage {
 public:
  // `name` is the host's; `socket` was opened with shape.epoch. What a worker may take: see Patience.
  RemoteDevice(std::string name, ShardShape shape, ExpectedTimes expected,
               std::unique_ptr<FrameSocket> socket);
  ~RemoteDevice() override;

  // Makes Submit and Collect fail at once, now and from now on. From any thread: membership calls it for a
  // lost host.
  void Close(const std::string& reason);
  // Whether a message has failed. From any thread.
  bool lost() const { return lost_; }
  // Bytes sent and received. From any thread, as is counters().
  uint64_t network_bytes() const { return network_bytes_; }

  const std::string& name() const override { return name_; }
  bool Holds(Work work, uint32_t layer) const override;
  Ticket Submit(const Request& request) override;
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override;
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) override;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) override;
  DeviceCounters counters() const override;
  // The stage that the host leads.
  absl::Status RunStage(uint64_t step, absl::Span<const RowPlace> rows, float* x) override;

 private:
  // A request that is on its way.
  struct Slot {
    FrameHeader header;
    FrameSocket::Clock::time_point sent;
    WireInput x;
    std::vector<WirePlace> places;  // of a mix
    float* logits = nullptr;        // of an output
    uint32_t n_vocab = 0;
    float* hidden = nullptr;  // of a stage: where its result goes
  };

  Slot& SlotOf(Ticket ticket) { return slots_[ticket % kMaxInFlight]; }
  FrameSocket::Clock::time_point Deadline(const FrameHeader& request) const;
  absl::Status Fail(const absl::Status& status);
  FrameHeader HeaderOf(FrameOperation operation, uint32_t layer, uint32_t rows);
  // The same, with x on its way in the slot.
  FrameHeader HeaderWithInput(Slot& slot, FrameOperation operation, uint32_t layer, uint32_t rows,
                              const float* x);
  void SendWithPlaces(Slot& slot, FrameOperation operation, uint32_t layer, uint64_t step,
                      absl::Span<const RowPlace> rows, const float* x, const float* adapted = nullptr);
  void Send(Slot& slot, const MixRequest& request);
  void Send(Slot& slot, const FfnRequest& request);
  void Send(Slot& slot, const OutputRequest& request);
  void Send(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts);
  absl::Status Receive(const Slot& slot, absl::Span<int64_t> sums);
  absl::StatusOr<FrameHeader> ReceiveAnswer(const FrameHeader& request,
                                            FrameSocket::Clock::time_point deadline,
                                            const WireKvRange& range = {});
  absl::Status ReceiveLogits(const Slot& slot, FrameSocket::Clock::time_point deadline);
  absl::StatusOr<std::vector<uint8_t>> AskForKv(FrameOperation operation, const KvRange& range,
                                                absl::Span<const uint8_t> bytes);

  const std::string name_;
  const ShardShape shape_;
  Patience patience_;  // of the thread that computes
  const std::unique_ptr<FrameSocket> socket_;
  std::array<Slot, kMaxInFlight> slots_;
  Ticket submitted_ = 0;
  absl::Status failed_;  // why the device is lost; of the thread that computes
  WireSums sums_;

  std::atomic<bool> lost_{false};
  std::atomic<uint64_t> round_trips_{0};
  std::atomic<uint64_t> wait_us_{0};
  std::atomic<uint64_t> network_bytes_{0};
  mutable Mutex mutex_;
  std::string close_reason_ ABSL_GUARDED_BY(mutex_);
  FrameSender sender_;  // last: goes first
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_REMOTE_DEVICE_H_
