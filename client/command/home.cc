#include <optional>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/proto_json.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

constexpr unsigned kOwnerOnly = 0600;

absl::Status PrintMembers(Client& client, bool hosts, bool json) {
  absl::StatusOr<v1::ListMembersResponse> members = client.ListMembers();
  if (!members.ok()) return members.status();
  if (json) {
    v1::ListMembersResponse shown;
    for (const v1::Member& member : members->members()) {
      if ((member.role() == v1::ROLE_HOST) == hosts) *shown.add_members() = member;
    }
    return Print(ToJsonLine(shown) + "\n");
  }
  if (!hosts) return Print(MembersText(*members, false, nullptr));
  const absl::StatusOr<v1::ClusterStatus> cluster = client.GetCluster();
  if (!cluster.ok()) return cluster.status();
  return Print(MembersText(*members, true, &*cluster));
}

}  // namespace

absl::Status RunInvite(Client& client, uint32_t lifetime_seconds, bool json) {
  v1::InviteRequest request;
  request.set_lifetime_seconds(lifetime_seconds);
  const absl::StatusOr<v1::Invitation> invitation = client.Invite(request);
  if (!invitation.ok()) return invitation.status();
  if (json) return Print(ToJsonLine(*invitation) + "\n");
  return Print(absl::StrCat("hearthd --join ", Printable(invitation->code()), "\n"));
}

absl::Status RunApplicants(Client& client, bool json) {
  const absl::StatusOr<v1::ListApplicantsResponse> response = client.ListApplicants();
  if (!response.ok()) return response.status();
  return Print(json ? ToJsonLine(*response) + "\n" : ApplicantsText(*response));
}

absl::Status RunDecide(Client& client, const std::string& code, bool refuse, bool json) {
  v1::DecideApplicantRequest request;
  request.set_code(code);
  request.set_refuse(refuse);
  const absl::StatusOr<v1::Applicant> host = client.DecideApplicant(request);
  if (!host.ok()) return host.status();
  if (json) return Print(ToJsonLine(*host) + "\n");
  return Print(absl::StrCat(Printable(host->name()), " (", Printable(host->id().substr(0, 7)), ") at ",
                            Printable(host->address()),
                            refuse ? " is sent away\n" : " belongs to the home now\n"));
}

absl::Status RunHosts(Client& client, bool json) { return PrintMembers(client, true, json); }

absl::Status RunKeys(Client& client, bool json) { return PrintMembers(client, false, json); }

absl::Status RunRemove(Client& client, const std::string& who, v1::Role role, bool json) {
  v1::RemoveMemberRequest request;
  request.set_member(who);
  request.set_role(role);
  const absl::StatusOr<v1::Member> member = client.RemoveMember(request);
  if (!member.ok()) return member.status();
  if (json) return Print(ToJsonLine(*member) + "\n");
  return Print(absl::StrCat(Printable(member->name()), " (", Printable(member->id().substr(0, 7)),
                            ") does not belong to the home any more\n"));
}

absl::Status RunPause(Client& client, const std::string& host, std::optional<absl::Duration> time,
                      bool json) {
  v1::PauseRequest request;
  request.set_host(host);
  if (time) request.set_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(*time)));
  if (absl::Status status = client.Pause(request); !status.ok()) return status;
  if (json) return Print("{}\n");
  return Print(
      absl::StrCat(host.empty() ? "this machine" : Printable(host), " pauses",
                   time ? absl::StrCat(" for ", absl::FormatDuration(*time)) : " until `hearth resume`",
                   "; the others take its share over\n"));
}

absl::Status RunResume(Client& client, const std::string& host, bool json) {
  v1::ResumeHostRequest request;
  request.set_host(host);
  if (absl::Status status = client.Resume(request); !status.ok()) return status;
  if (json) return Print("{}\n");
  return Print(absl::StrCat(host.empty() ? "this machine" : Printable(host), " takes part again\n"));
}

absl::Status RunWake(Client& client, const std::string& host, absl::Duration wait, bool json) {
  v1::WakeRequest request;
  request.set_host(host);
  const absl::StatusOr<v1::WakeResponse> woken = client.Wake(request);
  if (!woken.ok()) return woken.status();
  if (absl::Status status = Print(json ? ToJsonLine(*woken) + "\n" : WokenText(*woken)); !status.ok())
    return status;
  if (wait <= absl::ZeroDuration()) return absl::OkStatus();
  std::set<std::string> missing;
  for (const v1::AwayHost& away : woken->hosts()) missing.insert(away.name());
  absl::Status status;
  const absl::Status watched = client.WatchCluster(
      [&](const v1::ClusterStatus& cluster) {
        for (const v1::HostStatus& here : cluster.hosts()) {
          if (here.state() != v1::HOST_STATE_ALIVE || missing.erase(here.name()) == 0 || json) continue;
          status = Print(absl::StrCat(Printable(here.name()), " is here\n"));
        }
        return status.ok() && !missing.empty();
      },
      wait);
  if (!status.ok() || !absl::IsDeadlineExceeded(watched)) return status.ok() ? watched : status;
  return absl::DeadlineExceededError(absl::StrCat(
      Printable(absl::StrJoin(missing, ", ")), " did not come within ", absl::FormatDuration(wait),
      ": Wake-on-LAN has to be on in the firmware and for the network card (ethtool -s CARD wol g), and "
      "hearthd to start with the machine"));
}

absl::Status RunPromote(Client& client, bool force, bool json) {
  v1::PromoteRequest request;
  request.set_force(force);
  const absl::StatusOr<v1::PromoteResponse> promoted = client.Promote(request);
  if (!promoted.ok()) return promoted.status();
  if (json) return Print(ToJsonLine(*promoted) + "\n");
  std::string text =
      absl::StrCat("this machine takes the lead of the home of ", Printable(promoted->former()),
                   "; its models are loaded again, and the others follow\n");
  for (const std::string& model : promoted->missing_models()) {
    absl::StrAppend(
        &text, "model ", Printable(model),
        " is not loaded: its file is not here; copy it to the same path and start hearthd again\n");
  }
  return Print(text);
}

absl::Status RunCreateKey(Client& client, const v1::CreateKeyRequest& request, const std::string& path,
                          bool json) {
  // Before there is a key that nobody could have.
  if (absl::Status status = OutputFile::Check(path, Replace::kNever); !status.ok()) return status;
  const absl::StatusOr<v1::Key> key = client.CreateKey(request);
  if (!key.ok()) return key.status();
  if (absl::Status status = WriteFile(path, key->file(), Replace::kNever, kOwnerOnly); !status.ok())
    return status;
  if (json) return Print(nlohmann::ordered_json{{"path", path}}.dump() + "\n");
  return Print(absl::StrCat("wrote ", path, ": use it with `hearth --key ", path, "`\n"));
}

absl::Status RunCreateApiKey(Client& client, const v1::CreateKeyRequest& request,
                             const std::string& authority, bool json) {
  if (!authority.empty()) {
    if (absl::Status status = OutputFile::Check(authority, Replace::kNever); !status.ok()) return status;
  }
  const absl::StatusOr<v1::Key> key = client.CreateKey(request);
  if (!key.ok()) return key.status();
  if (!authority.empty()) {
    absl::Status status = WriteFile(authority, key->authority(), Replace::kNever);
    if (!status.ok()) return status;
  }
  if (json) {
    const nlohmann::ordered_json made = {{"key", key->api_key()}, {"authority", key->authority()}};
    return Print(made.dump() + "\n");
  }
  return Print(Printable(key->api_key()) + "\n");
}

}  // namespace hearth
