#ifndef HEARTH_PROTO_CHANNEL_H_
#define HEARTH_PROTO_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "proto/connection_key.h"

namespace hearth {

// How the connections of Hearth behave, at both ends. A server that has become silent, or the network to it,
// is noticed within about three seconds whether or not anything is asked meanwhile: calls then end with
// UNAVAILABLE; a client that has, within half a minute. A server that comes back is found again within about
// two seconds. Proxies that the environment names are meant for the web and are not used.

// Arguments of every channel; add to them what one channel needs.
grpc::ChannelArguments HearthChannelArguments();
// A channel to HOST:PORT with these arguments; connects when it is first used. With a key it is encrypted and
// leads to the coordinator of the key's home or nowhere; an empty key makes a plain one.
std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address, const ConnectionKey& key,
                                           grpc::ChannelArguments arguments = HearthChannelArguments());
// How a call went that its caller has not cancelled. A gRPC server answers calls that reach it while it shuts
// down with CANCELLED and nothing else (gRPC 1.51), which reads as if the caller had; such an end becomes
// UNAVAILABLE.
grpc::Status Uncancelled(const grpc::Status& status);
// What a server needs in order to bear with such channels, and to notice clients that have gone.
void KeepConnectionsAlive(grpc::ServerBuilder& builder);

}  // namespace hearth

#endif  // HEARTH_PROTO_CHANNEL_H_
