#ifndef HEARTH_DAEMON_CHANNEL_REMOTE_DEVICE_H_
#define HEARTH_DAEMON_CHANNEL_REMOTE_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/channel/frame.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/wire_sums.h"
#include "daemon/weights/session_token.h"
#include "engine/base/mutex.h"
#include "engine/device/device.h"

namespace hearth {

// Connects to a worker's tensor channel and says hello; epoch 0 opens a connection that only measures.
// UNAVAILABLE with the address and the reason.
absl::StatusOr<std::unique_ptr<FrameSocket>> OpenTensorConnection(const std::string& address,
                                                                  const SessionToken& token, uint64_t epoch,
                                                                  FrameSocket::Clock::time_point deadline);

// A worker's share of a plan as a device of its leader: Submit writes the layer's input to the worker,
// Collect waits for its sums. Once a message has failed the device stays lost. The worker's own counters of
// neurons come with its state (worker.proto); this class counts round trips, waiting and the network's bytes.
class RemoteDevice : public Device {
 public:
  // `name` is the host's; `socket` was opened with shape.epoch. `expected_us`, by layer, is the time that the
  // plan expects the layer to take for one row: a worker that takes several times as long counts as lost.
  RemoteDevice(std::string name, ShardShape shape, std::vector<double> expected_us,
               std::unique_ptr<FrameSocket> socket);

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

 private:
  FrameSocket::Clock::time_point Deadline() const;
  absl::Status Fail(const absl::Status& status);
  absl::Status SendRequest(const FfnRequest& request);
  absl::Status ReceiveSums(absl::Span<int64_t> sums);

  const std::string name_;
  const ShardShape shape_;
  const std::vector<double> expected_us_;
  const std::unique_ptr<FrameSocket> socket_;
  FrameHeader request_;  // the one that is on its way
  absl::Status failed_;  // why the device is lost; of the thread that computes
  WireSums received_;

  std::atomic<bool> lost_{false};
  std::atomic<uint64_t> round_trips_{0};
  std::atomic<uint64_t> wait_us_{0};
  std::atomic<uint64_t> network_bytes_{0};
  mutable Mutex mutex_;
  std::string close_reason_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_REMOTE_DEVICE_H_
