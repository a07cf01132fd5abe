/* admin/dashboard.h: the page for people, and the files that it loads: web/dash/, packed in the binary. It asks the API that is
 * beside it, and nobody else. */
#pragma once

#include "admin/router.h"

/* Whoever asks for "/" is a browser. */
bool dashboard_is_wanted(const struct admin_request *rq);
void dashboard_page(const struct admin_request *rq, struct answer *out);
