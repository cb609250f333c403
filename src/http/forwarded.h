// Whom trusted proxies speak for, by X-Forwarded-For.
#pragma once

#include <optional>

#include "base/ip_address.h"
#include "http/message.h"

namespace dtr::http {

// Of a request that came from one of `trusted`: each proxy adds at the end whom it heard from, so the last address that is
// not trusted is as far as the list holds; if all are, the first. Nothing if there is none, or it cannot be read.
std::optional<IpAddress> forwarded_client(const IpRanges& trusted, const Headers& headers);

}  // namespace dtr::http
