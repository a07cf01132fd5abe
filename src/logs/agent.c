#include "logs/agent.h"

/* The first that is found, so whoever claims to be others as well comes before them: bots before browsers, Edge and
 * Opera before Chrome, Chrome before Safari. */
static const struct {
    struct slice mark, family;
} marks[] = {
#define MARK(text, name)            \
    {                               \
        { text, sizeof(text) - 1 }, \
        {                           \
            name, sizeof(name) - 1  \
        }                           \
    }
    MARK("Googlebot", "Googlebot"),
    MARK("bingbot", "bingbot"),
    MARK("YandexBot", "YandexBot"),
    MARK("Baiduspider", "Baiduspider"),
    MARK("DuckDuckBot", "DuckDuckBot"),
    MARK("Applebot", "Applebot"),
    MARK("AhrefsBot", "AhrefsBot"),
    MARK("SemrushBot", "SemrushBot"),
    MARK("MJ12bot", "MJ12bot"),
    MARK("DotBot", "DotBot"),
    MARK("facebookexternalhit", "facebook"),
    MARK("Twitterbot", "Twitterbot"),
    MARK("Slackbot", "Slackbot"),
    MARK("UptimeRobot", "UptimeRobot"),
    MARK("Pingdom", "Pingdom"),
    MARK("kube-probe", "kube-probe"),
    MARK("Prometheus", "Prometheus"),
    MARK("HeadlessChrome", "HeadlessChrome"),
    MARK("curl/", "curl"),
    MARK("Wget/", "Wget"),
    MARK("python-requests", "python-requests"),
    MARK("Python-urllib", "Python-urllib"),
    MARK("python-httpx", "python-httpx"),
    MARK("aiohttp", "aiohttp"),
    MARK("Go-http-client", "Go-http-client"),
    MARK("okhttp", "okhttp"),
    MARK("Apache-HttpClient", "Apache-HttpClient"),
    MARK("Java/", "Java"),
    MARK("axios", "axios"),
    MARK("node-fetch", "node-fetch"),
    MARK("PostmanRuntime", "Postman"),
    MARK("libwww-perl", "libwww-perl"),
    MARK("bot", "bot"),
    MARK("Bot", "bot"),
    MARK("spider", "bot"),
    MARK("crawler", "bot"),
    MARK("Edg", "Edge"),
    MARK("OPR/", "Opera"),
    MARK("SamsungBrowser", "Samsung Internet"),
    MARK("Vivaldi", "Vivaldi"),
    MARK("YaBrowser", "Yandex Browser"),
    MARK("Firefox/", "Firefox"),
    MARK("FxiOS", "Firefox"),
    MARK("CriOS", "Chrome"),
    MARK("Chrome/", "Chrome"),
    MARK("Trident/", "Internet Explorer"),
    MARK("MSIE", "Internet Explorer"),
    MARK("Safari/", "Safari"),
    MARK("Mozilla/", "Mozilla"),
#undef MARK
};

struct slice agent_family(struct slice agent)
{
    if (!agent.len || slice_equal(agent, SLICE("-"))) return SLICE("(none)");
    for (unsigned i = 0; i < sizeof(marks) / sizeof(*marks); i++)
        if (memmem(agent.data, agent.len, marks[i].mark.data, marks[i].mark.len)) return marks[i].family;
    return SLICE("other");
}
