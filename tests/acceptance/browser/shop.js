// A shop's own script: Segment's SDK from npm, told nothing but the collector's address and the write key.
import { AnalyticsBrowser } from '@segment/analytics-next';

const query = new URLSearchParams(location.search);
window.analytics = AnalyticsBrowser.load({ writeKey: query.get('key'), cdnURL: query.get('collector') });
window.analytics.page('Trang chủ');
