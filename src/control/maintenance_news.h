/* control/maintenance_news.h: what one configuration changes of another in what is out for maintenance, as messages of the
 * log and so as events. */
#pragma once

#include "control/config.h"

/* `before` NULL: at the start. */
void maintenance_news_tell(const struct config *before, const struct config *after);
