#include "admin/routes.h"
#include "metric/exposition.h"
#include "proxy/proxy.h"

void metrics_print(const struct admin_request *rq, struct answer *out)
{
    enum exposition_format format = exposition_choose(rq->accept);
    size_t len = 0;
    char *text = exposition_print(rq->proxy->metrics, format, &len);
    answer_body(out, exposition_content_type(format), text, len);
}
