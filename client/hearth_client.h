#ifndef HEARTH_CLIENT_HEARTH_CLIENT_H_
#define HEARTH_CLIENT_HEARTH_CLIENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/connection_key.h"
#include "proto/hearth/v1/cluster.pb.h"
#include "proto/hearth/v1/generation.pb.h"
#include "proto/hearth/v1/home.pb.h"
#include "proto/hearth/v1/models.pb.h"
#include "proto/hearth/v1/standby.pb.h"

namespace hearth {

// A generation that is under way. Destroying it cancels what is left. Where the connection breaks or the
// daemon is started anew it goes on by itself, with the very next token: Next takes longer then.
class GenerationStream {
 public:
  virtual ~GenerationStream() = default;

  // Waits for the next event; nullopt at the end. For one thread.
  virtual std::optional<v1::GenerateResponse> Next() = 0;
  // After Next has returned nullopt: OK when there was a Finished event, else why there was none.
  virtual absl::Status Finish() = 0;
  // Ends the stream, with CANCELLED unless it has ended already. From any thread.
  virtual void Cancel() = 0;
};

// Talks to a hearthd, any host of a cluster, directly: proxies of the environment are not for the computers
// of a home. The messages and what the daemon's errors mean are in proto/hearth/v1. When the daemon cannot be
// reached the error is UNAVAILABLE and says how to start it; what cannot be sent is refused here:
// INVALID_ARGUMENT for text that is no UTF-8, OUT_OF_RANGE for a request above 4 MiB. A daemon that can be
// reached and does not answer is waited for half a minute (DEADLINE_EXCEEDED), but for the calls that wait
// for their turn or compute: Generate, Chat, Embed. Thread-safe; calls block.
//
//   hearth::Client client("127.0.0.1:7770");
//   hearth::v1::GenerateRequest request;
//   request.set_text("Once upon a time");
//   auto finished = client.Generate(request, [](const hearth::v1::GenerateResponse& event) {
//     std::cout << event.delta().text() << std::flush;
//   });
class Client {
 public:
  // `server`: HOST:PORT, or of several hosts of the cluster, with commas between them: where one cannot be
  // reached another one is called, by generations that broke as well. Connects at the first call. With a key
  // the connection is encrypted, to the coordinator's port for other machines. `resume_within`: how long a
  // generation that broke is tried to be gone on with. 0: not at all.
  explicit Client(const std::string& server, const ConnectionKey& key = {},
                  absl::Duration first_answer = absl::Seconds(30),
                  absl::Duration resume_within = absl::Minutes(1));
  ~Client();

  // Starts a generation. `timeout`: how long all of it may take.
  std::unique_ptr<GenerationStream> StartGenerate(const v1::GenerateRequest& request,
                                                  absl::Duration timeout = absl::InfiniteDuration());
  // Starts the answer to a conversation.
  std::unique_ptr<GenerationStream> StartChat(const v1::ChatRequest& request,
                                              absl::Duration timeout = absl::InfiniteDuration());
  // Generates and shows each event on the way.
  absl::StatusOr<v1::Finished> Generate(const v1::GenerateRequest& request,
                                        const std::function<void(const v1::GenerateResponse&)>& on_event);
  // The calls of the same names in proto/hearth/v1/generation.proto.
  absl::StatusOr<v1::EmbedResponse> Embed(const v1::EmbedRequest& request);
  absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request);
  absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request);

  // The calls of the same names in proto/hearth/v1/models.proto.
  absl::StatusOr<v1::ListModelsResponse> ListModels();
  absl::StatusOr<v1::ModelStatus> GetModel(const std::string& name);
  // Loads and waits until the model is ready; returns its last status.
  absl::StatusOr<v1::ModelStatus> LoadModel(const v1::LoadModelRequest& request,
                                            const std::function<void(const v1::ModelStatus&)>& on_progress);
  absl::Status UnloadModel(const std::string& name);
  absl::StatusOr<v1::StepTimeline> GetTimeline(const std::string& model);

  // Cluster.Get of proto/hearth/v1/cluster.proto.
  absl::StatusOr<v1::ClusterStatus> GetCluster();
  // Shows the cluster now and after each change, until `on_update` returns false or `timeout` has passed
  // (DEADLINE_EXCEEDED).
  absl::Status WatchCluster(const std::function<bool(const v1::ClusterStatus&)>& on_update,
                            absl::Duration timeout = absl::InfiniteDuration());
  absl::StatusOr<v1::PlanStatus> GetPlan(const std::string& model);
  absl::StatusOr<v1::ExpectedPlan> Expect(const v1::ModelFigures& figures);

  // The calls of the same names in cluster.proto.
  absl::Status Pause(const v1::PauseRequest& request);
  absl::Status Resume(const v1::ResumeHostRequest& request);
  absl::StatusOr<v1::WakeResponse> Wake(const v1::WakeRequest& request);

  // The calls of the same names in proto/hearth/v1/home.proto.
  absl::StatusOr<v1::Invitation> Invite(const v1::InviteRequest& request);
  absl::StatusOr<v1::ListApplicantsResponse> ListApplicants();
  absl::StatusOr<v1::Applicant> DecideApplicant(const v1::DecideApplicantRequest& request);
  absl::StatusOr<v1::ListMembersResponse> ListMembers();
  absl::StatusOr<v1::Key> CreateKey(const v1::CreateKeyRequest& request);
  absl::StatusOr<v1::Member> RemoveMember(const v1::RemoveMemberRequest& request);
  // That of standby.proto.
  absl::StatusOr<v1::PromoteResponse> Promote(const v1::PromoteRequest& request);

 private:
  struct Stubs;
  const std::unique_ptr<Stubs> stubs_;
};

}  // namespace hearth

#endif  // HEARTH_CLIENT_HEARTH_CLIENT_H_
