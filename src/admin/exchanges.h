/* admin/exchanges.h: an exchange as the API shows it. */
#pragma once

#include "base/json.h"
#include "proxy/proxy.h"

struct flight_record;

/* One object; has_story: with all sentences of proxy/story.h. */
void exchange_print(const struct proxy *p, const struct flight_record *r, bool has_story, struct json *j);
