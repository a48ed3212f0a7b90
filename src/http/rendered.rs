//! Tickers as text, kept until the kernel publishes another one: they are asked for far more often than
//! they change.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use hyper::body::Bytes;

use crate::kernel::snapshot::TickerView;
use crate::kernel::types::{Instrument, InstrumentId};

/// What a text was made of, and the text. Holding both keeps their addresses from being used again.
#[derive(Debug)]
struct Text {
    instrument: Arc<Instrument>,
    ticker: Arc<TickerView>,
    json: Bytes,
}

/// The newest text of each instrument: with numbers, and with strings in their place.
#[derive(Debug)]
pub(crate) struct Rendered(Vec<[ArcSwapOption<Text>; 2]>);

impl Rendered {
    /// For so many instruments.
    pub(crate) fn new(instruments: usize) -> Self {
        Self((0..instruments).map(|_| Default::default()).collect())
    }

    /// The text of these views, made by `render` unless it is there already.
    pub(crate) fn document(
        &self,
        (id, strings): (InstrumentId, bool),
        (instrument, ticker): (&Arc<Instrument>, &Arc<TickerView>),
        render: impl FnOnce() -> Vec<u8>,
    ) -> Bytes {
        let Some(place) = self
            .0
            .get(id.index())
            .map(|pair| &pair[usize::from(strings)])
        else {
            return render().into();
        };
        if let Some(text) = &*place.load()
            && Arc::ptr_eq(&text.instrument, instrument)
            && Arc::ptr_eq(&text.ticker, ticker)
        {
            return text.json.clone();
        }
        let json = Bytes::from(render());
        place.store(Some(Arc::new(Text {
            instrument: Arc::clone(instrument),
            ticker: Arc::clone(ticker),
            json: json.clone(),
        })));
        json
    }
}
