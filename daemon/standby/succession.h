#ifndef HEARTH_DAEMON_STANDBY_SUCCESSION_H_
#define HEARTH_DAEMON_STANDBY_SUCCESSION_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/coordinator_addresses.h"
#include "daemon/term.h"
#include "proto/hearth/v1/standby.pb.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {

// Who leads a home, as a host knows it: in the file STATE_DIR/succession, a text, from the moment on at which
// a standby called this coordinator, or this host took the lead or heard that another one has. What it says
// counts before the daemon's settings.

// nullopt where there is no file. FAILED_PRECONDITION for a damaged one, UNAVAILABLE where it cannot be read.
absl::StatusOr<std::optional<v1::Succession>> ReadSuccession(const std::string& state_dir);
absl::Status WriteSuccession(const std::string& state_dir, const v1::Succession& succession);

// A place is as good as it says where the other host leads: HOST:PORT of its encrypted port where it has one,
// else of its plain one; empty: nowhere yet.
std::string AddressOf(const v1::Leader& place);

// INVALID_ARGUMENT for what is no host and its addresses; FAILED_PRECONDITION where it is on this machine
// alone, and `coordinator` is not: no other could reach it there.
absl::Status CheckPlace(const v1::Leader& place, const v1::Leader& coordinator);

// Puts a standby that has called in its place, by its name, or as the last one; of more than kMostStandbys
// the first goes. Whether that changed anything. Ignored where nobody could reach it.
inline constexpr int kMostStandbys = 16;
bool NoteStandby(const v1::Leader& place, v1::Succession& succession);

// What workers are told of hosts that may lead.
PlacesToLead PlacesOf(absl::Span<const v1::Leader> hosts);

// Whether who leads in `own` as `host` has to give way to the one that answers so: it leads the same home in
// a later term or, where two took the lead at once, in the same one and has the greater name.
bool Outranks(const v1::Lead& other, const Term& own, const std::string& host);

}  // namespace hearth

#endif  // HEARTH_DAEMON_STANDBY_SUCCESSION_H_
