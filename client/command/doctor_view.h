#ifndef HEARTH_CLIENT_COMMAND_DOCTOR_VIEW_H_
#define HEARTH_CLIENT_COMMAND_DOCTOR_VIEW_H_

#include <nlohmann/json.hpp>
#include <string>

#include "client/doctor/doctor.h"
#include "client/hearth_client.h"
#include "client/library/local_models.h"

namespace hearth {

// Who asks.
struct DoctorOptions {
  std::string server;  // of the client that is passed along
  ConnectionKey key;   // empty: none
  LibraryFolders folders;
  std::string version;
};

// This machine and its daemon as they are now: asks the daemon, reads files, and for half a second a model.
SystemView LookAround(Client& client, const DoctorOptions& options);

// {"version", "wrong", "warnings", "findings": [{"severity", "subject", "what", "cost", "remedy"}]}.
nlohmann::ordered_json FindingsJson(const Findings& findings, const std::string& version);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_DOCTOR_VIEW_H_
