package world

// Provider is who runs a node: a failure group, and a price list.
type Provider string

// The providers of the world. Where nodes stand and what their delays are comes
// from one cloud's regions; that three providers share them is made up.
const (
	hyperscaler Provider = "p1" // list prices of Azure
	second      Provider = "p2" // list prices of Google Cloud, premium network
	flatRate    Provider = "p3" // hosts that include their traffic: assumed 0.005 USD per GB
)

var providers = []Provider{hyperscaler, second, flatRate}

// Prices are list prices known to Skyplane by January 2024, lowest tier
// (skyplane-project/skyplane 4602d9ce, Apache-2.0), in USD per GB of 10^9 bytes
// that leave a node.
const flatRateUSD = 0.005

// usdPerGB is what a byte from one node to another costs.
func usdPerGB(m *Matrix, from, to *Place) float64 {
	a, b := m.Regions[from.Region].Continent, m.Regions[to.Region].Continent
	same := from.Provider == to.Provider
	switch from.Provider {
	case hyperscaler:
		return azureUSD(a, b, from.Region == to.Region, same)
	case second:
		return googleUSD(a, b, from.Region == to.Region, same)
	case flatRate:
	}
	return flatRateUSD
}

// azureUSD: egress_prices.json, "azure".
func azureUSD(from, to string, sameRegion, sameProvider bool) float64 {
	area := func(continent string) int {
		switch continent {
		case "na", "eu":
			return 0
		case "sa":
			return 2
		}
		return 1 // Asia, Oceania, the Middle East and Africa
	}
	a := area(from)
	switch {
	case !sameProvider:
		return [3]float64{0.0875, 0.12, 0.181}[a]
	case sameRegion:
		return 0
	case a == area(to):
		return [3]float64{0.02, 0.08, 0.181}[a]
	default:
		return [3]float64{0.05, 0.08, 0.16}[a]
	}
}

// googleUSD: egress_prices.json, "gcp".
func googleUSD(from, to string, sameRegion, sameProvider bool) float64 {
	oceania := from == "oc" || to == "oc"
	switch {
	case !sameProvider && oceania:
		return 0.19
	case !sameProvider:
		return 0.12
	case sameRegion:
		return 0.01
	case from != to && oceania:
		return 0.15
	case from != to:
		return 0.08
	}
	switch from {
	case "na":
		return 0.01
	case "eu":
		return 0.02
	case "as", "mea":
		return 0.05
	}
	return 0.08 // South America, Oceania
}
