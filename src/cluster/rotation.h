// Changing the cluster's certificate authority in three steps, each one transaction of the configuration, with time between
// them for clients:
//
//   begin    makes the next authority (ca/next.*) and shows it beside the one in force. Nothing is issued by it.
//   switch   puts it in force (ca/root.*), with a server certificate under it; the old one (ca/old.*) is still shown.
//   finish   forgets the old one.
//
// Until `finish`, `cancel` goes back. Whoever trusts all that is shown is content with the server at every moment.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "config/config_store.h"

namespace dtr::cluster {

enum class RotationPhase { none, begun, switched };
std::string_view to_string(RotationPhase phase);  // "none", "begun", "switched"

struct Rotation {
    RotationPhase phase = RotationPhase::none;
    std::string authority;  // PEM of the one in force
    std::string other;      // PEM of the next one (begun) or of the old one (switched); else empty
    // What clients should trust: both, the one in force first.
    [[nodiscard]] std::string shown() const { return authority + other; }
};
Result<Rotation> rotation(config::ConfigStore& config);

enum class RotationStep { begin, change, finish, cancel };
Result<RotationStep> parse_rotation_step(std::string_view text);  // "begin", "switch", "finish", "cancel"

// refused: the step does not follow the phase. conflict: somebody else changed it meanwhile.
Status rotate(config::ConfigStore& config, RotationStep step, std::string_view cluster_id, Clock& clock,
              Random& random);

}  // namespace dtr::cluster
