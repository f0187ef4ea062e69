#ifndef HEARTH_TESTS_DAEMON_STANDBY_STANDBY_SERVER_H_
#define HEARTH_TESTS_DAEMON_STANDBY_STANDBY_SERVER_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/standby/standby_role.h"
#include "daemon/standby/standby_service.h"
#include "proto/hearth/v1/cluster.grpc.pb.h"

namespace hearth {

// After which something counts as hung.
inline constexpr absl::Duration kPatience = absl::Seconds(20);

inline Sealer SealerOf(uint8_t byte) {
  Sealer::Secret secret;
  secret.fill(byte);
  return Sealer(secret);
}

inline v1::Leader PlaceAt(const std::string& host, const std::string& address) {
  v1::Leader place;
  place.set_host(host);
  place.set_address(address);
  return place;
}

// A port on loopback that has a role's service, or only another one.
class StandbyServer {
 public:
  explicit StandbyServer(StandbyRole* role) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    if (role != nullptr) {
      service_ = MakeStandbyService(*role);
    } else {
      service_ = std::make_unique<v1::Cluster::Service>();
    }
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~StandbyServer() { End(); }
  void End() { server_->Shutdown(std::chrono::system_clock::now()); }
  const std::string& address() const { return address_; }

 private:
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// What a test says of a role.
class FakeRole : public StandbyRole {
 public:
  explicit FakeRole(v1::Lead lead) : lead_(std::move(lead)) {}
  bool Leads() const override { return lead_.leads(); }
  bool IsOver() const override { return false; }
  void Stand(const v1::Leader&) override {}
  PlacesToLead Places() const override { return {}; }
  v1::Lead WhoLeads(const v1::WhoLeadsRequest&) override { return lead_; }
  absl::StatusOr<v1::SealedHomeState> HomeState(const v1::HomeStateRequest&) override {
    return absl::UnimplementedError("");
  }
  void Promote(bool, Promoted promoted) override { promoted(absl::UnimplementedError("")); }

 private:
  const v1::Lead lead_;
};

inline v1::Lead LeadOf(const std::string& host, const std::string& home, uint64_t term, bool leads = true) {
  v1::Lead lead;
  lead.set_host(host);
  lead.set_leads(leads);
  lead.set_home(home);
  lead.set_term(term);
  return lead;
}

}  // namespace hearth

#endif  // HEARTH_TESTS_DAEMON_STANDBY_STANDBY_SERVER_H_
