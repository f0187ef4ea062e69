#ifndef HEARTH_PROTO_STREAM_METADATA_H_
#define HEARTH_PROTO_STREAM_METADATA_H_

namespace hearth {

// Metadata of Generate, Chat and Resume, by which a client tells what is worth another try.
// Hosts that pass calls on pass them on as well.

// Initial: the request is checked and waits for its place. A stream that breaks afterwards can be gone on
// with.
inline constexpr char kAcceptedKey[] = "hearth-accepted";
// Trailing: the daemon itself did not take the request; whoever sends it for the first time is to hear why.
inline constexpr char kRefusedKey[] = "hearth-refused";
// Trailing: the daemon itself ended the stream and lives on, so to try again at once is of no use.
inline constexpr char kFinalKey[] = "hearth-final";

}  // namespace hearth

#endif  // HEARTH_PROTO_STREAM_METADATA_H_
