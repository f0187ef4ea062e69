#include "daemon/cluster/cache_moves.h"

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/device/device_set.h"

namespace hearth {
namespace {

// The device, or devices, that answer for a session.
DeviceSet DevicesOf(const ActivePlan& plan, Roster::Session session) {
  if (session == 0) return DeviceSet(plan.local->devices());
  for (const ActivePlan::Remote& remote : plan.remotes) {
    if (remote.session == session) return DeviceSet({remote.device.get()});
  }
  return {};
}

absl::Status MoveGroup(const UnitId& unit, DeviceSet from, DeviceSet to,
                       const std::vector<uint32_t>& lengths) {
  for (uint32_t sequence = 0; sequence < lengths.size(); ++sequence) {
    if (lengths[sequence] == 0) continue;
    const KvRange range{unit.layer, unit.number, sequence, 0, lengths[sequence]};
    const absl::StatusOr<std::vector<uint8_t>> bytes = from.ReadKv(range);
    if (!bytes.ok()) return absl::FailedPreconditionError(bytes.status().message());
    HEARTH_RETURN_IF_ERROR(to.WriteKv(range, *bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<UnitId>> CachesToMove(const ActivePlan& from, const ActivePlan& to,
                                                 const std::function<bool(const UnitId&)>& can_be_copied) {
  std::vector<UnitId> moves;
  for (const auto& [unit, cache] : from.caches) {
    if (to.caches.at(unit) == cache) continue;
    // The devices of a broken plan do not answer any more.
    if (from.broken || !can_be_copied(unit)) {
      return absl::FailedPreconditionError(
          absl::StrCat("head group ", unit.number, " of layer ", unit.layer, " is on another device now"));
    }
    moves.push_back(unit);
  }
  return moves;
}

absl::Status MoveCaches(const ModelOutline& outline, const ActivePlan& from, const ActivePlan& to,
                        const std::vector<uint32_t>& lengths) {
  // Recurrent state is not of positions.
  const auto can_be_copied = [&](const UnitId& unit) {
    return outline.spec.layers[unit.layer].mixer != MixerKind::kShortConvolution;
  };
  HEARTH_ASSIGN_OR_RETURN(const std::vector<UnitId> moves, CachesToMove(from, to, can_be_copied));
  for (const UnitId& unit : moves) {
    HEARTH_RETURN_IF_ERROR(MoveGroup(unit, DevicesOf(from, from.caches.at(unit).first),
                                     DevicesOf(to, to.caches.at(unit).first), lengths));
  }
  return absl::OkStatus();
}

}  // namespace hearth
